// For tests: script/rabbitmq, with the arguments in MARQUEE_RABBITMQ.
#ifndef MARQUEE_MESSAGING_RABBITMQ_SCRIPT_H_
#define MARQUEE_MESSAGING_RABBITMQ_SCRIPT_H_

#include <string>

namespace marquee::messaging::rabbitmq {

// A variable of the environment; empty where it is not there.
std::string Variable(const char* name);

// What `script/rabbitmq VERB … MORE` prints; one that fails ends the program.
std::string Script(const std::string& verb, const std::string& more = "");

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_SCRIPT_H_
