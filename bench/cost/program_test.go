package cost

import "testing"

func TestBenchmarkFigures(t *testing.T) {
	got := benchmarkFigures("goos: linux\nBenchmarkCall/get/client-2         \t 2982685\t        76.87 ns/op\t       8 B/op\t       1 allocs/op\n" +
		"BenchmarkCall/get/client-every-core \t 5370406\t       113.5 ns/op\nPASS\n")
	if len(got) != 2 || got["BenchmarkCall/get/client"]["ns/op"] != 76.87 || got["BenchmarkCall/get/client"]["allocs/op"] != 1 ||
		got["BenchmarkCall/get/client-every-core"]["ns/op"] != 113.5 {
		t.Errorf("%v", got)
	}
}
