// SPDX-License-Identifier: Apache-2.0
/*
 * Answers whatever `traffic` sends, on one thread, and costs little beside what carries the bytes.
 * usage: peer PORT...
 *
 * The first byte of a connection says what becomes of the others: 'd' discards them, 'e' sends them back. When the
 * client has no more to send, it is told that everything has arrived: its connection is closed.
 */
#define _GNU_SOURCE
#include "listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS 65536
#define EVENTS 64

enum role { NONE, LISTENER, FRESH, DISCARD, ECHO };

static char roles[DESCRIPTORS];
static char buffer[256 * 1024];

static void watch(int epoll, int fd, enum role role)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (fd >= DESCRIPTORS || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		perror("watch a socket");
		exit(1);
	}
	roles[fd] = role;
}

static void take(int epoll, int listener)
{
	int fd, one = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		watch(epoll, fd, FRESH);
	}
}

/* What is echoed is a byte at a time, for which there is always room. */
static void answer(int fd)
{
	ssize_t size = recv(fd, buffer, sizeof(buffer), 0), at = 0;

	if (size < 0 && errno == EAGAIN)
		return;
	if (size > 0 && roles[fd] == FRESH)
		roles[fd] = buffer[at++] == 'e' ? ECHO : DISCARD;
	if (size <= 0 || (roles[fd] == ECHO && size > at && send(fd, buffer + at, size - at, MSG_NOSIGNAL) < 0))
		close(fd);
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	int epoll = epoll_create1(0);

	if (argc < 2)
		return 2;
	for (int i = 1; i < argc; i++)
		watch(epoll, listen_on(atoi(argv[i])), LISTENER);
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			if (roles[events[i].data.fd] == LISTENER)
				take(epoll, events[i].data.fd);
			else
				answer(events[i].data.fd);
		}
	}
}
