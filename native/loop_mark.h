// Whose bytes wait for the event loop, said so that the kernel's table shows it: a process that cannot be asked any more
// because it stands still has said it before. Sockets that are accepted inherit the mark of the one that listened.
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace podgate {

// IP_MULTICAST_LOOP means nothing to TCP, is on by default in sockets of both families, needs no capability, and is in
// INET_DIAG_SOCKOPT (Linux 5.10). Returns 0 or a positive errno.
inline int MarkForEventLoop(int fd, bool marked) {
  int loop = marked ? 0 : 1;
  return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, sizeof(loop)) == 0 ? 0 : errno;
}

}  // namespace podgate
