// SIGTERM and SIGINT: the first asks the process to drain, a second one ends it at once.
#ifndef MARQUEE_CLI_SIGNALS_H_
#define MARQUEE_CLI_SIGNALS_H_

namespace marquee::cli {

// Installs the handlers; SIGPIPE is ignored. Once, before threads are made.
void HandleSignals();
bool StopRequested();
// As if a signal had come.
void RequestStop();

}  // namespace marquee::cli

#endif  // MARQUEE_CLI_SIGNALS_H_
