// The embedded log: a message broker in a folder, with no server. A SQLite file for each topic; any
// number of processes of one machine share the folder. store.h says which files there are,
// topic_layout.h what is in them.
//
// How the nine sentences are kept (messaging/broker.h):
//   Sharded, Ordered   a publisher writes packs of records in the order of publishing, one
//                      transaction at a time
//   Positioned         offsets count the records of a shard; the end of a shard is in the
//                      transaction of its records, so an offset is never used twice; a topic's
//                      identity is drawn when its file is made
//   Durable            WAL with synchronous=FULL: a commit is a sync. What a kill left unsynced is
//                      made durable before it is shown; after a failed sync nothing is written
//                      until what is there was copied and synced anew
//   Repeatable         reading changes nothing
//   Owned              leases, and locks that the kernel frees (group_member.h)
//   Bounded            queues and transactions have limits (sqlite_publisher.h)
//   Retained           retention drops whole packs; entity topics are compacted as they are written
//                      (compaction.h)
//   Honest             every lock is waited for until the deadline; every row has a checksum
#ifndef MARQUEE_MESSAGING_SQLITE_SQLITE_BROKER_H_
#define MARQUEE_MESSAGING_SQLITE_SQLITE_BROKER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "messaging/broker.h"

namespace marquee::messaging {

// Makes `directory` where it is not there. `clock` outlives the broker. `vfs` names a SQLite VFS,
// for tests: files are then its own, and members of groups have leases but no locks.
// kFailedPrecondition: the directory cannot be written to, or holds files that are not ours or of
// another version; kInvalidArgument: a setting; kDataLoss: damaged.
absl::StatusOr<std::unique_ptr<Broker>> OpenSqliteBroker(const std::string& directory,
                                                         const BrokerOptions& options, Clock& clock,
                                                         std::string vfs = "");

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_SQLITE_BROKER_H_
