// Package browser has only tests: the page in a real Chromium, which a library drives by
// the browser's own protocol.
//
// Takes:
//   - Chromium from $MIGRATION_PROXY_CHROMIUM or the PATH, and nginx
//
// Gives:
//   - the screenshots in docs, with -update
//
// Refuses:
//   - to skip: without Chromium the tests fail, and say how to install it
package browser
