// TCP addresses as the rest of Podgate has them: 16 bytes in network order, IPv4 as ::ffff:a.b.c.d.
#pragma once

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <string>

namespace podgate {

constexpr size_t kAddressLength = 16;
constexpr uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

inline bool IsMapped(const uint8_t* address) { return memcmp(address, kMappedPrefix, sizeof(kMappedPrefix)) == 0; }

// For a socket of that family (AF_INET or AF_INET6). Returns the length, or 0 when an AF_INET socket cannot have it.
inline socklen_t SocketAddress(int family, const uint8_t* address, uint16_t port, struct sockaddr_storage* out) {
  memset(out, 0, sizeof(*out));
  if (family == AF_INET6) {
    struct sockaddr_in6* six = reinterpret_cast<struct sockaddr_in6*>(out);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    memcpy(&six->sin6_addr, address, kAddressLength);
    return sizeof(*six);
  }
  if (!IsMapped(address)) return 0;
  struct sockaddr_in* four = reinterpret_cast<struct sockaddr_in*>(out);
  four->sin_family = AF_INET;
  four->sin_port = htons(port);
  memcpy(&four->sin_addr, address + sizeof(kMappedPrefix), sizeof(four->sin_addr));
  return sizeof(*four);
}

// In host order; 0 for an address that is not TCP's.
inline uint16_t PortOf(const struct sockaddr_storage& address) {
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const struct sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const struct sockaddr_in6&>(address).sin6_port);
  return 0;
}

// All zero for an address that is not TCP's.
inline void AddressOf(const struct sockaddr_storage& address, uint8_t (&out)[kAddressLength]) {
  memset(out, 0, kAddressLength);
  if (address.ss_family == AF_INET6) {
    memcpy(out, &reinterpret_cast<const struct sockaddr_in6&>(address).sin6_addr, kAddressLength);
  } else if (address.ss_family == AF_INET) {
    memcpy(out, kMappedPrefix, sizeof(kMappedPrefix));
    memcpy(out + sizeof(kMappedPrefix), &reinterpret_cast<const struct sockaddr_in&>(address).sin_addr,
           kAddressLength - sizeof(kMappedPrefix));
  }
}

}  // namespace podgate
