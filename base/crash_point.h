// Named places at which a test build can be told to die, as `kill -9` would:
// MARQUEE_CRASH_AT=NAME[:N] in the environment kills the process when it comes to NAME for the N-th
// time (default 1). A build without the option MARQUEE_CRASH_POINTS has no such code. The crash
// harness takes the names from the sources.
#ifndef MARQUEE_BASE_CRASH_POINT_H_
#define MARQUEE_BASE_CRASH_POINT_H_

namespace marquee {

// Ends the process with SIGKILL where the environment asks for it. Any thread.
void ReachCrashPoint(const char* name);

}  // namespace marquee

#if defined(MARQUEE_CRASH_POINTS)
#define MARQUEE_CRASH_POINT(name) ::marquee::ReachCrashPoint(name)
#else
#define MARQUEE_CRASH_POINT(name) \
  do {                            \
  } while (false)
#endif

#endif  // MARQUEE_BASE_CRASH_POINT_H_
