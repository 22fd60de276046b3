// SPDX-License-Identifier: Apache-2.0
/*
 * Opens connections and keeps them, and says at any time which still carry bytes.
 * usage: hold ADDRESS PORT COUNT [SOURCE-PORT]
 *
 * Prints a JSON list once they are open and for each line it reads. Of each connection: "ok" when a line that was sent
 * on it came back answered, "open" at first, else the name of the error that ended it, or "EOF".
 */
#define _GNU_SOURCE
#include <poll.h>
#include <unistd.h>

#include "outcome.h"

#define MOST 1000
#define ANSWER_MS 5000

struct held {
	int fd;
	const char *state;
};

static const char *open_one(const struct endpoint *to, int source_port, int *fd)
{
	struct sockaddr_storage from = { .ss_family = to->address.ss_family };
	int one = 1;

	*fd = socket(to->address.ss_family, SOCK_STREAM, 0);
	if (*fd < 0)
		return strerrorname_np(errno);
	if (source_port) {
		setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (from.ss_family == AF_INET6)
			((struct sockaddr_in6 *)&from)->sin6_port = htons(source_port);
		else
			((struct sockaddr_in *)&from)->sin_port = htons(source_port);
		if (bind(*fd, (struct sockaddr *)&from, to->size) < 0)
			return strerrorname_np(errno);
	}
	if (connect(*fd, (const struct sockaddr *)&to->address, to->size) < 0)
		return strerrorname_np(errno);
	return "open";
}

/* One line there and one back. */
static const char *talk(int fd)
{
	struct pollfd answer = { .fd = fd, .events = POLLIN };
	char text[256];
	ssize_t size;

	if (send(fd, "hello\n", 6, MSG_NOSIGNAL) < 0)
		return strerrorname_np(errno);
	for (;;) {
		if (poll(&answer, 1, ANSWER_MS) == 0)
			return "silence";
		size = recv(fd, text, sizeof(text), 0);
		if (size < 0)
			return strerrorname_np(errno);
		if (size == 0)
			return "EOF";
		if (text[size - 1] == '\n')
			return "ok";
	}
}

static void print(const struct held *held, int count)
{
	for (int i = 0; i < count; i++)
		printf("%s\"%s\"", i == 0 ? "[" : ",", held[i].state);
	printf("]\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct held held[MOST];
	struct endpoint to;
	int count, c;

	if (argc < 4)
		return 2;
	to = parse_endpoint(argv[1], argv[2]);
	count = atoi(argv[3]);
	if (count < 1 || count > MOST)
		return 2;
	for (int i = 0; i < count; i++)
		held[i].state = open_one(&to, argc > 4 ? atoi(argv[4]) : 0, &held[i].fd);
	print(held, count);
	while ((c = getchar()) != EOF) {
		if (c != '\n')
			continue;
		/* What has ended is not asked again: only its first error says how. */
		for (int i = 0; i < count; i++)
			if (strcmp(held[i].state, "ok") == 0 || strcmp(held[i].state, "open") == 0)
				held[i].state = talk(held[i].fd);
		print(held, count);
	}
	return 0;
}
