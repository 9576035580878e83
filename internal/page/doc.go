// Package page makes the page that people look at: what is served, how both sides do,
// what needs a person, and the details of one service.
//
// Takes:
//   - a Snapshot: the status of one proxy or of all replicas of a cluster, ramps and problems
//   - for one service a Detail: its history, journal, Ingresses and Events
//
// Gives:
//   - HTML that is complete without JavaScript, by templates that escape every text
//   - an Update: the same as fragments of HTML and rows, for the script to put in place
//   - the style and the script, as files in the program
//
// Refuses:
//   - to ask anybody, and to change anything
//   - to know colors as the only sign: each state is a word, each line of a chart has a
//     dash of its own
package page
