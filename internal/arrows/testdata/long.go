package testdata

func short() int { return 1 }

func tooLong() int {
	a := short()
	return a
}
