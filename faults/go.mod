module github.com/redstart-go/redstart/faults

go 1.26
