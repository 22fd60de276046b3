/* Addresses in, one line of JSON out: what every client of these tests has in common. */
#ifndef OUTCOME_H
#define OUTCOME_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

struct endpoint {
	struct sockaddr_storage address;
	socklen_t size;
};

/* A literal address, with a scope where it needs one, and a port. Ends the program if it is neither. */
static inline struct endpoint parse_endpoint(const char *address, const char *port)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct endpoint endpoint = { 0 };
	struct addrinfo *found;

	if (getaddrinfo(address, port, &hints, &found) != 0) {
		fprintf(stderr, "read %s port %s: not an address and a port\n", address, port);
		exit(2);
	}
	memcpy(&endpoint.address, found->ai_addr, found->ai_addrlen);
	endpoint.size = found->ai_addrlen;
	freeaddrinfo(found);
	return endpoint;
}

/* `address port`, or "" where the socket has none. */
static inline void describe(const struct endpoint *endpoint, char *text, size_t size)
{
	char address[INET6_ADDRSTRLEN + IF_NAMESIZE + 1], port[8];

	text[0] = 0;
	if (getnameinfo((const struct sockaddr *)&endpoint->address, endpoint->size, address, sizeof(address), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(text, size, "%s %s", address, port);
}

static inline int report_error(int error)
{
	printf("{\"error\":\"%s\"}\n", strerrorname_np(error));
	return 0;
}

static inline int report_unsupported(const char *what)
{
	printf("{\"unsupported\":\"%s: %s\"}\n", what, strerrorname_np(errno));
	return 0;
}

/* The workload's own name for itself, as bytes in hexadecimal: it may be anything but NUL. */
static inline void set_comm(const char *hex)
{
	char name[16] = { 0 };
	unsigned int byte;

	for (size_t i = 0; i < sizeof(name) - 1 && sscanf(hex + 2 * i, "%2x", &byte) == 1; i++) {
		name[i] = (char)byte;
		if (hex[2 * i + 2] == 0)
			break;
	}
	prctl(PR_SET_NAME, name);
}

#endif
