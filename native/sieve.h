// Which ends of connections somebody asks about: lets all of those through, and a few others. agent/dataplane/sieve.ts
// makes them, of any number of ends in at most 32 KiB.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <vector>

namespace podgate {

// A seed of four bytes, little-endian, and 2^n bits, of which those of the ends are set. An address of all zero with a
// port stands for any address with that port.
class Sieve {
 public:
  static bool IsLength(size_t length);
  // Lets everything through.
  Sieve() = default;
  // IsLength(length).
  Sieve(const uint8_t* bytes, size_t length) : bytes_(bytes, bytes + length) {}

  bool Passes(const uint8_t* address, uint16_t port) const;

 private:
  bool Has(const uint8_t* address, uint16_t port) const;

  std::vector<uint8_t> bytes_;
};

}  // namespace podgate
