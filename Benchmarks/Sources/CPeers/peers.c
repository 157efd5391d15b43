// SPDX-License-Identifier: Apache-2.0

#include "CPeers.h"
#include <sys/eventfd.h>

int peers_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }
