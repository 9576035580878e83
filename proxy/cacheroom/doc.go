// Package cacheroom switches nginx's cache off while its disk has little room. nginx
// breaks an answer off that it cannot store, so a cache must not be what notices that a
// disk is full.
//
// Takes:
//   - whether any service has a cache, the runtime directory, and how much of the disk of its temp/ must be free
//
// Gives:
//   - the file cache-on in the runtime directory, while there is room: nginx looks for it
//     at each request of a host with a cache, and answers past the cache without it
//
// Refuses:
//   - nothing: a disk that cannot be measured has no room
package cacheroom
