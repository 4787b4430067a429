package guichet

import (
	"fmt"
	"strconv"
	"time"
)

var units = []struct {
	letter string
	size   time.Duration
}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}

// within is a length of time between two others, in whole seconds.
func within(length, least, most time.Duration) (time.Duration, error) {
	length = length.Truncate(time.Second)
	if length < least || length > most {
		return 0, fmt.Errorf("%s is outside %s to %s", length, least, most)
	}
	return length, nil
}

// lengthText writes a length of time in the largest unit that tells it exactly: 15m.
func lengthText(length time.Duration) string {
	for _, unit := range units {
		if length >= unit.size && length%unit.size == 0 {
			return strconv.FormatInt(int64(length/unit.size), 10) + unit.letter
		}
	}
	return "0s"
}
