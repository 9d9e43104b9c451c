package httplimit

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// The problem types of the draft.
const (
	quotaExceeded   = "https://iana.org/assignments/http-problem-types#quota-exceeded"
	reducedCapacity = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
)

// problem is the body of an answer in place of the handler's (RFC 9457). It
// says nothing of the key, nor of why something failed.
type problem struct {
	Type     string   `json:"type"`
	Title    string   `json:"title"`
	Status   int      `json:"status"`
	Detail   string   `json:"detail"`
	Violated []string `json:"violated-policies,omitempty"`

	retry int64 // seconds for Retry-After; 0: none
}

// exceeded is for a client that comes too early, by so many seconds.
func exceeded(policies []string, retry int64) problem {
	unit := " seconds."
	if retry == 1 {
		unit = " second."
	}
	return problem{
		Type: quotaExceeded, Title: "Too many requests", Status: http.StatusTooManyRequests,
		Detail:   "The quota is used up. Try again in " + strconv.FormatInt(retry, 10) + unit,
		Violated: policies, retry: retry,
	}
}

// never is for a request that no waiting helps.
func never(policies []string) problem {
	return problem{
		Type: quotaExceeded, Title: "Too many requests", Status: http.StatusTooManyRequests,
		Detail:   "The request needs more than the quota ever has at once. Trying again does not help.",
		Violated: policies,
	}
}

// closed is for those who are denied because nobody can be asked.
func closed(retry int64) problem {
	return problem{
		Type: reducedCapacity, Title: "Temporarily reduced capacity", Status: http.StatusServiceUnavailable,
		Detail: "Quotas cannot be checked at present.", retry: retry,
	}
}

// nobody is for a request whose key or cost is not known.
func nobody() problem {
	return problem{
		Type: "about:blank", Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest,
		Detail: "The request does not say what is needed to find its quota.",
	}
}

// broken is for an error of the limiter.
func broken() problem {
	return problem{
		Type: "about:blank", Title: http.StatusText(http.StatusServiceUnavailable), Status: http.StatusServiceUnavailable,
		Detail: "Quotas cannot be checked.",
	}
}

// write answers with the problem.
func (p problem) write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil {
		body = nil // strings and numbers always have a form in JSON
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(p.retry, 10))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}
