// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "quiesce_machine.h"
#include "quiesce_platform.h"

#if QUIESCE_HAS_MACHINE
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int32_t quiesce_eventfd(uint32_t initial, bool is_semaphore) {
    int result = eventfd(initial, EFD_NONBLOCK | EFD_CLOEXEC | (is_semaphore ? EFD_SEMAPHORE : 0));
    return result < 0 ? -errno : result;
}

int64_t quiesce_descriptor_read(int32_t descriptor, void *bytes, size_t count) {
    ssize_t result;
    do result = read(descriptor, bytes, count);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

int64_t quiesce_descriptor_write(int32_t descriptor, const void *bytes, size_t count) {
    ssize_t result;
    do result = write(descriptor, bytes, count);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

int32_t quiesce_descriptor_poll(int32_t descriptor) {
    struct pollfd asked = {.fd = descriptor, .events = POLLIN | POLLOUT};
    int result;
    do result = poll(&asked, 1, 0);
    while (result < 0 && errno == EINTR);
    if (result < 0) return -errno;
    if (asked.revents & POLLNVAL) return -EBADF;
    return (int32_t)((asked.revents & POLLIN ? quiesce_readable : 0) | (asked.revents & POLLOUT ? quiesce_writable : 0) |
                     (asked.revents & (POLLERR | POLLHUP) ? quiesce_broken : 0));
}

int32_t quiesce_descriptor_duplicate(int32_t descriptor) {
    int result = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    return result < 0 ? -errno : result;
}

// Not repeated when it is interrupted: Linux has given the number back by then.
void quiesce_descriptor_close(int32_t descriptor) { close(descriptor); }

int32_t quiesce_epoll_create(void) {
    int result = epoll_create1(EPOLL_CLOEXEC);
    return result < 0 ? -errno : result;
}

int32_t quiesce_epoll_control(int32_t epoll, int32_t operation, int32_t descriptor, uint32_t wants, uint64_t data) {
    static const int operations[] = {EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL};
    struct epoll_event event = {
        .events = (uint32_t)EPOLLET | (wants & quiesce_readable ? EPOLLIN : 0) | (wants & quiesce_writable ? EPOLLOUT : 0),
        .data.u64 = data};
    return epoll_ctl(epoll, operations[operation], descriptor, &event) == 0 ? 0 : errno;
}

int32_t quiesce_epoll_wait(int32_t epoll, quiesce_ready ready[64]) {
    struct epoll_event events[64];
    int count;
    do count = epoll_wait(epoll, events, 64, -1);
    while (count < 0 && errno == EINTR);
    if (count < 0) return -errno;
    for (int i = 0; i < count; i++) {
        uint32_t found = events[i].events;
        ready[i] = (quiesce_ready){events[i].data.u64, (found & EPOLLIN ? quiesce_readable : 0) |
                                                           (found & EPOLLOUT ? quiesce_writable : 0) |
                                                           (found & (EPOLLERR | EPOLLHUP) ? quiesce_broken : 0)};
    }
    return count;
}
#endif
