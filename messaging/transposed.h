// Values that begin alike and have the same fields in the same places, as ratings do, written byte
// by byte: of each value only what follows the bytes that it shares with the one before, and of
// these first all bytes that stand first in their values, then all that stand second, and so on.
// Bytes of one field are neighbours then, and compress to less in less time.
//
// Threads: one at a time. Lengths are as in a pack: of each value plus one, 0 for no value, which
// counts as an empty one.
#ifndef MARQUEE_MESSAGING_TRANSPOSED_H_
#define MARQUEE_MESSAGING_TRANSPOSED_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace marquee::messaging {

// So many leading bytes of a value can be shared, and are transposed; what follows them stands
// behind all that is transposed, value by value.
inline constexpr size_t kTransposedBytesMax = 64;

class Transposer {
 public:
  // Finds what each of the values, which stand one after the other, shares with the one before.
  // True where they share so much that transposing pays: a quarter of their bytes, and two bytes a
  // value.
  bool Pays(std::string_view values, std::span<const uint32_t> lengths);

  // A byte for each value: how many it shares. The transposed bytes, of the arguments of the last
  // Pays. Both borrow this object's buffers.
  std::string_view shared() const { return shared_; }
  std::string_view Transpose(std::string_view values, std::span<const uint32_t> lengths);

 private:
  std::string shared_;
  size_t shared_bytes_ = 0;
  std::string transposed_;
};

// Writes the values back, one after the other. `out` has room for all of them and for
// kTransposedBytesMax more, which may be overwritten. False where the arguments do not belong
// together; `out` is then undefined. REQUIRES: as many bytes in `shared` as `lengths`.
bool Untranspose(std::string_view shared, std::string_view transposed,
                 std::span<const uint32_t> lengths, char* out);

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_TRANSPOSED_H_
