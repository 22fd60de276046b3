/*
 * Opens one connection in one of the ways there are, and says what came of it.
 * usage: dial COMM-HEX METHOD ADDRESS PORT
 *
 * Prints {"peer":..,"local":..,"reply":..}, {"error":"EPERM"} or {"unsupported":..}: the kernel lacks the method.
 */
#include "outcome.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef TCP_FASTOPEN_NO_COOKIE
#define TCP_FASTOPEN_NO_COOKIE 34
#endif

static const char greeting[] = "hello\n";

enum { UNSUPPORTED = -2 };

struct method {
	const char *name;
	int type, protocol;
	int (*open)(int socket, const struct endpoint *to); /* 0, -1 with errno, or UNSUPPORTED with errno */
	int has_spoken; /* the greeting went with the connection */
};

static int plain(int fd, const struct endpoint *to)
{
	return connect(fd, (const struct sockaddr *)&to->address, to->size);
}

static int nonblocking(int fd, const struct endpoint *to)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	int flags = fcntl(fd, F_GETFL), error = 0;
	socklen_t size = sizeof(error);

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	if (plain(fd, to) < 0 && errno != EINPROGRESS)
		return -1;
	poll(&ready, 1, 3000);
	fcntl(fd, F_SETFL, flags);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	errno = error;
	return error == 0 ? 0 : -1;
}

/* The SYN itself carries data, without asking the server for a cookie first. */
static int allow_no_cookie(int fd)
{
	int on = 1;

	return setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &on, sizeof(on)) < 0 ? UNSUPPORTED : 0;
}

static int fastopen_sendto(int fd, const struct endpoint *to)
{
	allow_no_cookie(fd); /* MPTCP may not know the option; it asks for a cookie then */
	return sendto(fd, greeting, sizeof(greeting) - 1, MSG_FASTOPEN, (const struct sockaddr *)&to->address,
		      to->size) < 0 ? -1 : 0;
}

static int fastopen_connect(int fd, const struct endpoint *to)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)) < 0 || allow_no_cookie(fd) < 0)
		return UNSUPPORTED;
	return plain(fd, to);
}

/* One submission, one completion: all that IORING_OP_CONNECT needs of a ring. */
static int io_uring(int fd, const struct endpoint *to)
{
	struct io_uring_params params = { 0 };
	int ring = (int)syscall(__NR_io_uring_setup, 1, &params);

	if (ring < 0)
		return UNSUPPORTED;
	size_t sq_size = params.sq_off.array + params.sq_entries * sizeof(__u32);
	size_t cq_size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	char *sq = mmap(NULL, sq_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	char *cq = mmap(NULL, cq_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	struct io_uring_sqe *sqe = mmap(NULL, sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
					IORING_OFF_SQES);

	if (sq == MAP_FAILED || cq == MAP_FAILED || (void *)sqe == MAP_FAILED)
		return UNSUPPORTED;
	*sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_CONNECT,
		.fd = fd,
		.addr = (__u64)(unsigned long)&to->address,
		.off = to->size,
	};
	((__u32 *)(sq + params.sq_off.array))[0] = 0;
	__atomic_store_n((__u32 *)(sq + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(__NR_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return UNSUPPORTED;
	int result = ((struct io_uring_cqe *)(cq + params.cq_off.cqes))->res;

	errno = -result;
	return result < 0 ? -1 : 0;
}

/* No connection at all: one datagram to wherever. */
static int unconnected(int fd, const struct endpoint *to)
{
	return sendto(fd, greeting, sizeof(greeting) - 1, 0, (const struct sockaddr *)&to->address, to->size) < 0 ? -1 : 0;
}

static const struct method methods[] = {
	{ "connect", SOCK_STREAM, 0, plain, 0 },
	{ "nonblocking", SOCK_STREAM, 0, nonblocking, 0 },
	{ "fastopen-sendto", SOCK_STREAM, 0, fastopen_sendto, 1 },
	{ "fastopen-connect", SOCK_STREAM, 0, fastopen_connect, 0 },
	{ "io_uring", SOCK_STREAM, 0, io_uring, 0 },
	{ "mptcp", SOCK_STREAM, IPPROTO_MPTCP, plain, 0 },
	{ "mptcp-fastopen", SOCK_STREAM, IPPROTO_MPTCP, fastopen_sendto, 1 },
	{ "udp-connect", SOCK_DGRAM, 0, plain, 0 },
	{ "udp-sendto", SOCK_DGRAM, 0, unconnected, 1 },
};

static int converse(int fd, int has_spoken)
{
	struct endpoint peer = { .size = sizeof(peer.address) }, local = { .size = sizeof(local.address) };
	char peer_text[96] = "", local_text[96] = "", reply[256] = "";
	struct timeval patience = { .tv_sec = 3 };
	ssize_t size;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (!has_spoken && send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL) < 0)
		return report_error(errno);
	size = recv(fd, reply, sizeof(reply) - 1, 0);
	if (size < 0)
		return report_error(errno);
	reply[size] = 0;
	reply[strcspn(reply, "\n")] = 0;
	if (getpeername(fd, (struct sockaddr *)&peer.address, &peer.size) == 0)
		describe(&peer, peer_text, sizeof(peer_text));
	if (getsockname(fd, (struct sockaddr *)&local.address, &local.size) == 0)
		describe(&local, local_text, sizeof(local_text));
	printf("{\"peer\":\"%s\",\"local\":\"%s\",\"reply\":\"%s\"}\n", peer_text, local_text, reply);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: dial COMM-HEX METHOD ADDRESS PORT\n");
		return 2;
	}
	set_comm(argv[1]);
	struct endpoint to = parse_endpoint(argv[3], argv[4]);

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		const struct method *method = &methods[i];

		if (strcmp(method->name, argv[2]) != 0)
			continue;
		int fd = socket(to.address.ss_family, method->type, method->protocol);

		if (fd < 0)
			return report_unsupported("socket");
		int result = method->open(fd, &to);

		if (result == UNSUPPORTED)
			return report_unsupported(method->name);
		return result < 0 ? report_error(errno) : converse(fd, method->has_spoken);
	}
	fprintf(stderr, "dial %s: there is no such method\n", argv[2]);
	return 2;
}
