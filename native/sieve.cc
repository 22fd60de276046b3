#include "sieve.h"

#include <string.h>

#include "address.h"

namespace podgate {
namespace {

constexpr size_t kSeedLength = 4;
constexpr size_t kLeastBits = 64;
constexpr size_t kMostBits = 32 * 1024 * 8;
constexpr uint8_t kAnyAddress[kAddressLength] = {};
// fe80::/10 is looked up as fe80::, as bpf/flow.h does.
constexpr uint8_t kLinkLocal[kAddressLength] = {0xfe, 0x80};

bool IsLinkLocal(const uint8_t* address) { return address[0] == 0xfe && (address[1] & 0xc0) == 0x80; }

// FNV-1a, and what MurmurHash3 ends with.
uint32_t Hash(const uint8_t* seed, const uint8_t* address, uint16_t port) {
  uint32_t hash = 2166136261u ^ (seed[0] | (seed[1] << 8) | (seed[2] << 16) | (static_cast<uint32_t>(seed[3]) << 24));
  for (size_t at = 0; at < kAddressLength; at++) hash = (hash ^ address[at]) * 16777619u;
  hash = (hash ^ (port >> 8)) * 16777619u;
  hash = (hash ^ (port & 0xff)) * 16777619u;
  hash = (hash ^ (hash >> 16)) * 0x85ebca6bu;
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae35u;
  return hash ^ (hash >> 16);
}

}  // namespace

bool Sieve::IsLength(size_t length) {
  if (length < kSeedLength) return false;
  size_t bits = (length - kSeedLength) * 8;
  return bits >= kLeastBits && bits <= kMostBits && (bits & (bits - 1)) == 0;
}

bool Sieve::Passes(const uint8_t* address, uint16_t port) const {
  if (bytes_.empty()) return true;
  return Has(IsLinkLocal(address) ? kLinkLocal : address, port) || Has(kAnyAddress, port);
}

bool Sieve::Has(const uint8_t* address, uint16_t port) const {
  size_t bits = (bytes_.size() - kSeedLength) * 8;
  size_t bit = Hash(bytes_.data(), address, port) & (bits - 1);
  return (bytes_[kSeedLength + bit / 8] >> (bit % 8) & 1) != 0;
}

}  // namespace podgate
