// docs/openapi.json, as it was when this was built. Threads: any.
#ifndef MARQUEE_HTTP_OPENAPI_H_
#define MARQUEE_HTTP_OPENAPI_H_

#include <string_view>

namespace marquee::http {

std::string_view OpenApiText();

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_OPENAPI_H_
