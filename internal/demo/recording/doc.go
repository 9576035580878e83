// Package recording turns what a program prints into an animated picture of a terminal.
//
// Takes:
//   - what is written to a Recorder, and when
//
// Gives:
//   - an SVG that plays it again with the same times, in a loop. It loads nothing, runs no
//     script, follows the colors of its reader, and for readers who want no motion it is
//     the last screen.
//
// Refuses:
//   - escape sequences of terminals: they are shown as they are
package recording
