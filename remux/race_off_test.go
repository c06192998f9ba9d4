//go:build !race

package remux

// raceEnabled: the race detector is on.
const raceEnabled = false
