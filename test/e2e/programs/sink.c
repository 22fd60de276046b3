// SPDX-License-Identifier: Apache-2.0
/*
 * Accepts connections on every address and closes them, as fast as it can.
 * usage: sink PORT...
 *
 * It never resets: a client whose connect() succeeded must not hear otherwise.
 */
#define _GNU_SOURCE
#include "listen.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORTS 256

int main(int argc, char **argv)
{
	struct pollfd listeners[PORTS];
	int count = argc - 1, fd;

	if (count < 1 || count > PORTS)
		return 2;
	for (int i = 0; i < count; i++)
		listeners[i] = (struct pollfd){ .fd = listen_on(atoi(argv[i + 1])), .events = POLLIN };
	for (;;) {
		poll(listeners, count, -1);
		for (int i = 0; i < count; i++) {
			while ((fd = accept(listeners[i].fd, NULL, NULL)) >= 0)
				close(fd);
		}
	}
}
