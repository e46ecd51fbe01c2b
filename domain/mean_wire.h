// marquee.v1.MeanRating, read and written by hand: every mean is written once and read twice, by
// its owner and by each sink. What is not as WriteMean writes it is left to libprotobuf.
//
// Private to domain/.
#ifndef MARQUEE_DOMAIN_MEAN_WIRE_H_
#define MARQUEE_DOMAIN_MEAN_WIRE_H_

#include <cstdint>
#include <string_view>

#include "domain/movie.h"
#include "domain/wire.h"

namespace marquee::domain {

inline constexpr size_t kMeanBytesMax =
    6 * (1 + wire::kVarintBytesMax) + 2 + kHistogramBinsMax * wire::kVarintBytesMax;

// Writes to `at`, where there is room for kMeanBytesMax; the place after it. The bytes are those
// that libprotobuf writes.
char* WriteMean(const MeanRating& mean, int64_t mean_micros, char* at);

// False: not of the usual form, which says nothing of its being a mean. True: the fields are those
// that libprotobuf finds, and not checked yet; a histogram of another number of bins is not of the
// usual form.
bool ReadUsualMean(std::string_view bytes, MeanRating* mean);

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_MEAN_WIRE_H_
