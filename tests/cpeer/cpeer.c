/*
 * A peer of a segment that is not a .NET program: joins, binds a transient port, finds a route by name, pings, writes an object
 * and reads it back in both ways (into own pages, and by loans), and compares every byte.
 *
 *     cpeer DIRECTORY ROUTE OBJECT [FLOW [ROUNDS]]
 *
 * Exits 0 if all was right; else prints what was not.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include "xseg.h"

#define PAGES 300
#define OBJECT (512 * 1024)

static char *base;
static struct xseg_header header; /* our copy: the one in the segment is not believed again */
static int locks = -1, me = -1, server, fifos[64];
static struct xseg_ring requests, replies;
static uint32_t share[PAGES], shared, sleeps, flow;
static const char *object;

static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "cpeer: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    exit(1);
}

static struct xseg_header *shared_header(void) { return (struct xseg_header *)base; }
static struct xseg_port *port_at(int port) { return (struct xseg_port *)(base + header.ports_offset) + port; }
static struct xseg_page *page_at(uint32_t page) { return page < header.page_count_max ? (struct xseg_page *)(base + header.page_table_offset) + page : NULL; }
static char *bytes_of(uint32_t page) { return base + header.pages_offset + (size_t)page * XSEG_PAGE; }
static struct xseg_slot *slot_at(uint32_t slot) { return (struct xseg_slot *)(base + header.slots_offset) + slot; }

/* Open-file-description locks: the kernel gives them back when the process is dead. */
static int lock(int command, short type, long byte)
{
    struct flock request = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int result;
    while ((result = fcntl(locks, command, &request)) != 0 && errno == EINTR) {}
    return result;
}

static uint32_t crc32c(const void *data, size_t length)
{
    uint32_t crc = ~0u;
    for (const uint8_t *at = data; length-- > 0; at++) {
        crc ^= *at;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

static uint64_t boot_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void join(const char *directory)
{
    char path[4096];
    struct stat status;
    snprintf(path, sizeof path, "%s/segment", directory);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) fail("%s: %s", path, strerror(errno));
    if (pread(fd, &header, sizeof header, 0) != sizeof header) fail("%s is too short", path);
    if (header.magic != XSEG_MAGIC || header.layout_version != XSEG_LAYOUT) fail("%s: not a segment of layout %u", path, XSEG_LAYOUT);
    if (header.checksum != crc32c(&header, XSEG_CHECKSUMMED)) fail("%s: the header's checksum is wrong", path);
    if (fstat(fd, &status) != 0 || (uint64_t)status.st_size < header.total_size) fail("%s is truncated", path);
    base = mmap(NULL, header.total_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) fail("%s: %s", path, strerror(errno));
    close(fd);
    snprintf(path, sizeof path, "%s/locks", directory);
    if ((locks = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0) fail("%s: %s", path, strerror(errno));
    if (fstat(locks, &status) != 0 || (header.locks_inode != 0 && header.locks_inode != (uint64_t)status.st_ino)) fail("%s is not the file that the segment was made with", path);
    for (uint32_t port = 0; port < header.port_count && port < 64; port++) {
        snprintf(path, sizeof path, "%s/wake/%u", directory, port);
        if ((fifos[port] = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0) fail("%s: %s", path, strerror(errno));
    }
}

/* True if a dead life of this port has left something that only a recovery can sort out; this small peer has none. */
static int needs_recovery(uint32_t port)
{
    uint32_t first = port * header.slots_per_port;
    for (uint32_t slot = first; slot < first + header.slots_per_port; slot++)
        if (xseg_state(xseg_load(&slot_at(slot)->word)) != XSEG_SLOT_FREE) return 1;
    for (uint32_t page = 1; page < header.page_count_max; page++) {
        uint64_t word = xseg_load(&page_at(page)->word);
        uint8_t state = xseg_state(word);
        uint32_t owner = xseg_page_owner(word);
        if ((state == XSEG_PAGE_CACHE || state == XSEG_PAGE_LIMBO || state == XSEG_PAGE_LENT) && owner == port) return 1;
        if (state == XSEG_PAGE_SLOT && owner / header.slots_per_port == port) return 1;
    }
    return 0;
}

static void bind_port(const char *name)
{
    if (lock(F_OFD_SETLKW, F_WRLCK, XSEG_MAINTENANCE_BYTE) != 0) fail("locks: %s", strerror(errno));
    if (atomic_load(&shared_header()->state) != XSEG_READY) fail("the segment was destroyed");
    for (uint32_t port = 0; port < header.port_count; port++) {
        struct xseg_port *entry = port_at((int)port);
        if (atomic_load(&entry->state) != XSEG_PORT_FREE && entry->name_length == strlen(name) && memcmp(entry->name, name, strlen(name)) == 0) fail("the name '%s' is taken", name);
        if (me < 0 && atomic_load(&entry->state) == XSEG_PORT_FREE && lock(F_OFD_SETLK, F_WRLCK, port) == 0) {
            if (!needs_recovery(port)) me = (int)port;
            else lock(F_OFD_SETLK, F_UNLCK, port);
        }
    }
    if (me < 0) fail("no free port");
    struct xseg_port *entry = port_at(me);
    entry->name_length = (uint32_t)strlen(name);
    memset(entry->name, 0, sizeof entry->name);
    memcpy(entry->name, name, strlen(name));
    struct { uint32_t port, length; char name[64]; } named = { (uint32_t)me, entry->name_length, {0} };
    memcpy(named.name, entry->name, sizeof named.name);
    entry->name_checksum = crc32c(&named, sizeof named);
    entry->flags = XSEG_PORT_TRANSIENT;
    entry->page_share = PAGES;
    entry->bound_at = boot_time();
    atomic_store(&entry->heartbeat, entry->bound_at);
    entry->generation++;
    atomic_store(&entry->sleeping, 0);
    entry->process_id = getpid();
    atomic_store_explicit(&entry->state, XSEG_PORT_BOUND, memory_order_release);
    for (uint32_t page = 1; page < header.page_count_max && shared < PAGES; page++) {
        uint64_t word = xseg_load(&page_at(page)->word);
        int ours = xseg_state(word) == XSEG_PAGE_FREE && xseg_page_owner(word) == (uint32_t)me;
        if (ours || (xseg_state(word) == XSEG_PAGE_COMMON && xseg_swap(&page_at(page)->word, word, xseg_page_word(XSEG_PAGE_FREE, (uint32_t)me, xseg_generation(word))))) share[shared++] = page;
    }
    if (shared < PAGES) fail("the segment has only %u of %u pages left", shared, PAGES);
    lock(F_OFD_SETLK, F_UNLCK, XSEG_MAINTENANCE_BYTE);
}

static void leave(void)
{
    lock(F_OFD_SETLKW, F_WRLCK, XSEG_MAINTENANCE_BYTE);
    for (uint32_t page = 1; page < header.page_count_max; page++) {
        uint64_t word = xseg_load(&page_at(page)->word);
        if (xseg_state(word) == XSEG_PAGE_FREE && xseg_page_owner(word) == (uint32_t)me) xseg_swap(&page_at(page)->word, word, xseg_page_word(XSEG_PAGE_COMMON, 0, xseg_generation(word)));
    }
    atomic_store(&port_at(me)->state, XSEG_PORT_FREE);
    lock(F_OFD_SETLK, F_UNLCK, me);
    lock(F_OFD_SETLK, F_UNLCK, XSEG_MAINTENANCE_BYTE);
}

static void connect_route(const char *name)
{
    server = -1;
    for (uint32_t i = 0; i < header.route_count; i++) {
        struct xseg_route *route = (struct xseg_route *)(base + header.routes_offset) + i;
        if ((uint32_t)xseg_load(&route->word) != 0 && route->name_length == strlen(name) && memcmp(route->name, name, strlen(name)) == 0) {
            uint64_t low, high;
            xseg_hash(object, strlen(object), &low, &high);
            server = route->port + (int)(high % (route->shards ? route->shards : 1));
        }
    }
    if (server < 0 || server >= (int)header.port_count) fail("there is no route '%s'", name);
    char *link = base + header.links_offset + ((uint64_t)me * header.port_count + (uint64_t)server) * header.link_stride;
    xseg_ring_open_producer(&requests, link, header.ring_capacity);
    xseg_ring_open_consumer(&replies, link + xseg_ring_bytes(header.ring_capacity), header.ring_capacity, 1);
    atomic_fetch_or(&port_at(server)->inbound, 1ull << me);
}

static void find_flow(const char *name)
{
    for (uint32_t i = 1; i < header.flow_count; i++) {
        struct xseg_flow *entry = (struct xseg_flow *)(base + header.flows_offset) + i;
        if ((uint32_t)xseg_load(&entry->word) == 2 && entry->name_space == 0 && entry->name_length == strlen(name) && memcmp(entry->name, name, strlen(name)) == 0) flow = i;
    }
    if (flow == 0) fail("there is no flow '%s'", name);
}

static uint64_t take_page(uint32_t slot)
{
    if (shared == 0) fail("the share is used up");
    struct xseg_page *entry = page_at(share[--shared]);
    uint64_t word = xseg_load(&entry->word);
    uint32_t generation = xseg_generation(word) + 1;
    if (xseg_state(word) != XSEG_PAGE_FREE || xseg_page_owner(word) != (uint32_t)me || !xseg_swap(&entry->word, word, xseg_page_word(XSEG_PAGE_SLOT, slot, generation))) fail("page %u is not ours", share[shared]);
    return xseg_extent(share[shared], generation);
}

/* Back to the share, if it still is the slot's: an adopted page is not; what its extent names instead, marked spent, is. */
static void give_page(uint32_t slot, uint64_t extent)
{
    struct xseg_page *entry = page_at(xseg_extent_page(extent));
    if (entry == NULL || xseg_load(&entry->word) != xseg_page_word(XSEG_PAGE_SLOT, slot, xseg_generation(extent))) return;
    xseg_store(&entry->word, xseg_page_word(XSEG_PAGE_FREE, (uint32_t)me, xseg_generation(extent)));
    share[shared++] = xseg_extent_page(extent);
}

static uint64_t *extent_at(struct xseg_slot *slot, uint32_t index)
{
    if (index < XSEG_INLINE_EXTENTS) return &slot->extents[index];
    index -= XSEG_INLINE_EXTENTS;
    return (uint64_t *)bytes_of(xseg_extent_page(slot->indirect[index / XSEG_EXTENTS_PER_INDIRECT])) + index % XSEG_EXTENTS_PER_INDIRECT;
}

/* Objects that never change again belong to a flow whose pages any slot may read. */
static int is_shared(uint32_t index)
{
    if (index >= header.flow_count) return 0;
    struct xseg_flow *entry = (struct xseg_flow *)(base + header.flows_offset) + index;
    return entry->name_space == XSEG_FLOW_SHARED && (uint32_t)xseg_load(&entry->word) == 2;
}

/* What a request may read: its own payload, or a page lent to its flow or to all, of the generation that the extent says. */
static const char *readable(uint32_t number, struct xseg_slot *slot, uint32_t index)
{
    uint64_t extent = *extent_at(slot, index);
    struct xseg_page *entry = page_at((uint32_t)extent);
    if (entry == NULL) return NULL;
    uint64_t word = xseg_load(&entry->word);
    int right = xseg_generation(word) == xseg_generation(extent);
    switch (xseg_state(word)) {
    case XSEG_PAGE_SLOT: right = right && xseg_page_owner(word) == number; break;
    case XSEG_PAGE_CACHE: case XSEG_PAGE_LIMBO: case XSEG_PAGE_LENT: right = right && (entry->flow == (uint16_t)flow || is_shared(entry->flow)); break;
    case XSEG_PAGE_RESERVED: right = (uint32_t)extent == 0; break;
    default: right = 0;
    }
    return right ? bytes_of((uint32_t)extent) : NULL;
}

static void await(uint32_t number, uint32_t generation)
{
    for (uint64_t spins = 0;; spins++) {
        uint32_t slot, of;
        if (xseg_ring_pop(&replies, &slot, &of)) {
            if (slot == number && of == generation && xseg_load(&slot_at(number)->word) == xseg_slot_word(XSEG_SLOT_REPLIED, (unsigned)server, generation)) return;
            fail("a reply to slot %u/%u that was not asked for", slot, of);
        }
        if (spins < 2000) continue;
        xseg_prepare_to_sleep(port_at(me), ++sleeps);
        struct pollfd wait = {.fd = fifos[me], .events = POLLIN};
        if (!xseg_ring_has(&replies) && poll(&wait, 1, 20000) == 0) fail("no reply within 20 s");
        atomic_store(&port_at(me)->sleeping, 0);
        char drain[256];
        while (read(fifos[me], drain, sizeof drain) == sizeof drain) {}
        spins = 0;
    }
}

/* One request from end to end. payload: for WRITE what to write; own_pages: a READ goes into pages of ours, else it borrows. */
static void transfer(enum xseg_op op, uint64_t offset, uint64_t length, char *data, int own_pages)
{
    static uint32_t next;
    uint32_t index = next++ % (header.slots_per_port - XSEG_SPARE_SLOTS), number = (uint32_t)me * header.slots_per_port + index;
    struct xseg_slot *slot = slot_at(number);
    if (index >= atomic_load(&port_at(me)->slot_high_water)) atomic_store(&port_at(me)->slot_high_water, index + 1);
    uint64_t word = xseg_load(&slot->word);
    uint32_t generation = xseg_generation(word);
    xseg_store(&slot->epoch, xseg_load(&shared_header()->epoch));
    if (xseg_state(word) != XSEG_SLOT_FREE || !xseg_swap(&slot->word, word, xseg_slot_word(XSEG_SLOT_OWNED, (unsigned)me, generation))) fail("slot %u is not free", number);

    slot->op = (uint8_t)op;
    slot->reply = 0;
    slot->flags = 0;
    slot->status = 0;
    slot->offset = offset;
    slot->length = length;
    slot->serviced = 0;
    xseg_hash(object, strlen(object), &slot->hash_low, &slot->hash_high);
    slot->flow = flow;
    slot->target_length = (uint16_t)strlen(object);
    slot->attempts = 0;
    slot->path_length = 1;
    slot->path[0] = (uint16_t)me;
    slot->root_slot = number;
    slot->root_generation = generation;
    slot->root_first = slot->extent_count = 0;
    slot->parent = XSEG_NO_SLOT;
    slot->parent_generation = slot->source_length = 0;
    slot->deadline = slot->trace_id = 0;
    slot->accept_sequence = ~0ull;
    slot->indirect[0] = 0;
    memcpy(slot->target, object, strlen(object));

    uint32_t skip = (uint32_t)(offset % XSEG_PAGE), count = length == 0 ? 0 : (uint32_t)((skip + length + XSEG_PAGE - 1) / XSEG_PAGE);
    if (count > XSEG_INLINE_EXTENTS) {
        slot->indirect[0] = take_page(number);
        slot->indirect[1] = 0;
    }
    if (own_pages) {
        for (uint32_t i = 0; i < count; i++) {
            *extent_at(slot, i) = take_page(number);
            slot->extent_count = (uint16_t)(i + 1);
        }
    }
    if (op == XSEG_WRITE)
        for (uint64_t done = 0; done < length;) {
            uint64_t at = (skip + done) % XSEG_PAGE, part = XSEG_PAGE - at < length - done ? XSEG_PAGE - at : length - done;
            memcpy(bytes_of(xseg_extent_page(*extent_at(slot, (uint32_t)((skip + done) / XSEG_PAGE)))) + at, data + done, part);
            done += part;
        }

    xseg_store(&slot->word, xseg_slot_word(XSEG_SLOT_QUEUED, (unsigned)server, generation));
    if (!xseg_ring_push(&requests, number, generation)) fail("the ring is full");
    xseg_wake(port_at(server), fifos[server]);
    await(number, generation);
    xseg_store(&slot->word, xseg_slot_word(XSEG_SLOT_OWNED, (unsigned)me, generation));
    if (slot->status != 0) fail("op %d at %llu+%llu: %s", op, (unsigned long long)offset, (unsigned long long)length, strerror((int)slot->status));
    if (op != XSEG_PING && slot->serviced != length) fail("op %d: %llu of %llu bytes", op, (unsigned long long)slot->serviced, (unsigned long long)length);
    if (op == XSEG_READ)
        for (uint64_t done = 0; done < length;) {
            uint64_t at = (skip + done) % XSEG_PAGE, part = XSEG_PAGE - at < length - done ? XSEG_PAGE - at : length - done;
            const char *bytes = readable(number, slot, (uint32_t)((skip + done) / XSEG_PAGE));
            if (bytes == NULL) fail("extent %llu of a read cannot be read", (unsigned long long)((skip + done) / XSEG_PAGE));
            memcpy(data + done, bytes + at, part);
            done += part;
        }

    for (uint32_t i = 0; i < slot->extent_count; i++) give_page(number, *extent_at(slot, i));
    if (slot->indirect[0] != 0) give_page(number, slot->indirect[0]);
    slot->indirect[0] = 0;
    slot->extent_count = 0;
    xseg_store(&slot->word, xseg_slot_word(XSEG_SLOT_FREE, 0, generation + 1));
}

static void verify(const char *expected, uint64_t offset, uint64_t length, int own_pages)
{
    static char found[OBJECT];
    transfer(XSEG_READ, offset, length, found, own_pages);
    for (uint64_t i = 0; i < length; i++)
        if (found[i] != expected[offset + i]) fail("byte %llu is %02x, written was %02x", (unsigned long long)(offset + i), (uint8_t)found[i], (uint8_t)expected[offset + i]);
}

int main(int count, char **arguments)
{
    static char content[OBJECT], name[64];
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count < 4) fail("usage: cpeer DIRECTORY ROUTE OBJECT [FLOW [ROUNDS]]");
    object = arguments[3];
    if (strlen(object) > XSEG_MAX_NAME) fail("the object's name is longer than %u", XSEG_MAX_NAME);
    join(arguments[1]);
    snprintf(name, sizeof name, "cpeer.%d", (int)getpid());
    bind_port(name);
    if (count > 4 && arguments[4][0] != 0) find_flow(arguments[4]);
    connect_route(arguments[2]);

    int rounds = count > 5 ? atoi(arguments[5]) : 200;
    uint32_t random = 12345;
    transfer(XSEG_PING, 0, 0, NULL, 0);
    puts("ping");
    for (int round = 0; round < rounds; round++) {
        random = random * 1664525u + 1013904223u;
        uint64_t offset = random % (OBJECT / 512) * 512;
        random = random * 1664525u + 1013904223u;
        uint64_t most = OBJECT - offset, length = (random >> 8) % (round % 4 == 0 ? 512u : 32u) * 512 + 512;
        if (length > most) length = most;
        for (uint64_t i = 0; i < length; i++) content[offset + i] = (char)((random >> (i % 4 * 8)) + i * 7);
        transfer(XSEG_WRITE, offset, length, content + offset, 1);
        verify(content, offset, length, round & 1);
        if (shared != PAGES) fail("%u pages of the share are gone", PAGES - shared);
    }
    puts("written");
    verify(content, 0, OBJECT, 1);
    verify(content, 0, OBJECT, 0);
    puts("verified");
    leave();
    return 0;
}
