// Pins on bpffs, for every kind of BPF object.
#pragma once

#include <napi.h>

#include <string>

#include "fd.h"

namespace podgate {

// Opens a pin; throws unless it is of the kind the kernel calls `kind` ("bpf-map", "bpf-prog", "bpf-link").
UniqueFd OpenPin(Napi::Env env, const std::string& operation, const std::string& path, const char* kind);

// Pins `fd`; the parent directory must exist.
void Pin(Napi::Env env, const std::string& operation, int fd, const std::string& path);

}  // namespace podgate
