package outcome

import "testing"

func TestOfReply(t *testing.T) {
	for reply, want := range map[string]Outcome{
		"WRONGTYPE Operation against a key holding the wrong kind of value":                                      NotApplied,
		"OOM command not allowed when used memory > 'maxmemory'.":                                                NotApplied,
		"OOM command not allowed when used memory > 'maxmemory'. script: 7c3, on @user_script:1.":                Unknown + NotApplied,
		"WRONGTYPE Operation against a key holding the wrong kind of value script: 7c3, on @user_script:3.":      Unknown,
		"ERR user_script:4: attempt to compare nil with number script: 7c3, on @user_script:4.":                  Unknown,
		"ERR Error running script (call to f_7c3): @user_script:2: WRONGTYPE Operation against a key holding it": Unknown,
		"IOERR error or timeout reading to target instance":                                                      Unknown,
		"upstream failure": Unknown,
		"NOSCRIPT No matching script. Please use EVAL.": NotApplied,
		"ERR max number of clients reached":             NotApplied,
		"MOVED 3999 127.0.0.1:6381":                     NotApplied,
	} {
		if got := OfReply(reply); got != want {
			t.Errorf("OfReply(%q) = %v, want %v", reply, got, want)
		}
	}
}

func TestOfScript(t *testing.T) {
	for reply, want := range map[string]Outcome{
		"NOSCRIPT No matching script. Please use EVAL.": NotApplied,
		"NOSCRIPT ha":  Unknown,
		"DENIED limit": Unknown,
		"MYERR limit":  Unknown,
		"BUSY later":   Unknown,
		"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.":  NotApplied,
		"BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": NotApplied,
		"LOADING Redis is loading the dataset in memory":                                          NotApplied,
		"OOM command not allowed when used memory > 'maxmemory'. script: 7c3, on @user_script:1.": NotApplied,
		"READONLY You can't write against a read only replica.":                                   NotApplied,
		"NOPERM User app has no permissions to run the 'evalsha' command":                         NotApplied,
		"MOVED 3999 127.0.0.1:6381": NotApplied,
		"value is not an integer or out of range script: 7c3, on @user_script:3.": Unknown,
	} {
		if got := OfScript(reply); got != want {
			t.Errorf("OfScript(%q) = %v, want %v", reply, got, want)
		}
	}
}

func TestCode(t *testing.T) {
	for reply, want := range map[string]string{
		"WRONGTYPE Operation": "WRONGTYPE", "ERR x": "ERR", "lower case": "ERR", "": "ERR", "DB index is out of range": "ERR",
		"EXEC without MULTI": "ERR", "OOM": "OOM", "SEARCH_INDEX_NOT_FOUND idx": "SEARCH_INDEX_NOT_FOUND",
	} {
		if got := Code(reply); got != want {
			t.Errorf("Code(%q) = %q, want %q", reply, got, want)
		}
	}
}

func TestAway(t *testing.T) {
	for reply, want := range map[string]bool{
		"LOADING Redis is loading the dataset in memory": true, "READONLY You can't write against a read only replica.": true,
		"ERR max number of clients reached": true, "max number of clients reached": true, "ERR unknown command": false, "WRONGTYPE x": false, "NOPERM x": false,
	} {
		if got := Away(reply); got != want {
			t.Errorf("Away(%q) = %v, want %v", reply, got, want)
		}
	}
}

// Of a reply's own text only what names no argument is shown.
func TestDescribe(t *testing.T) {
	for reply, want := range map[string]string{
		"OOM command not allowed when used memory > 'maxmemory'.":      "OOM: " + adviceFor["OOM"],
		"ERR unknown command 'hunter2', with args":                     "ERR: unknown command",
		"unknown subcommand or wrong number of arguments (see) `x`":    "ERR: unknown subcommand or wrong number of arguments",
		"ERR Error compiling script (new function): user_script:1: hu": "ERR: a script failed on the server",
		"NOGROUP No such key 'hunter2'":                                "NOGROUP: No such key",
	} {
		if got := Describe(reply); got != want {
			t.Errorf("Describe(%q) = %q, want %q", reply, got, want)
		}
	}
}
