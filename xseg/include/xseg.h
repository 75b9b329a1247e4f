/*
 * xseg.h: the layout of an Archipelago segment (layout 1), for peers that are not .NET programs. C11, little-endian, Linux.
 * What each field means, who writes it and in which order: xseg/README.md. A test compares every offset with the C# side.
 *
 * Rules in short: nothing read from the segment is believed (read once, check, use); stores that publish are release stores,
 * loads that look for them acquire loads; a word with two possible writers is changed by compare-and-swap only.
 */
#ifndef XSEG_H
#define XSEG_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define XSEG_MAGIC 0x4843524147455358ull /* "XSEGARCH" */
#define XSEG_LAYOUT 1u
#define XSEG_PAGE 4096u
#define XSEG_NO_SLOT 0xFFFFFFFFu
#define XSEG_MAINTENANCE_BYTE (1 << 20) /* of the file "locks": create, destroy, bind, tables */
#define XSEG_SPARE_SLOTS 2u             /* of each port, never used: see xseg_ring_pop */
#define XSEG_MAX_DATA (4u << 20)
#define XSEG_MAX_NAME 256u
#define XSEG_INLINE_EXTENTS 24u
#define XSEG_EXTENTS_PER_INDIRECT 512u
#define XSEG_MAX_INDIRECT 3u
#define XSEG_CHECKSUMMED 160u

enum xseg_op {
    XSEG_PING = 0, XSEG_READ = 1, XSEG_WRITE = 2, XSEG_FLUSH = 3, XSEG_DISCARD = 4, XSEG_WRITE_ZEROES = 5, XSEG_TRUNCATE = 6,
    XSEG_DELETE = 7, XSEG_COPY = 8, XSEG_INFO = 9, XSEG_HASH = 10, XSEG_ACQUIRE = 11, XSEG_RELEASE = 12, XSEG_OPEN = 13,
    XSEG_CLOSE = 14, XSEG_CREATE = 15, XSEG_CLONE = 16, XSEG_SNAPSHOT = 17, XSEG_RENAME = 18, XSEG_MAP_READ = 19,
    XSEG_MAP_WRITE = 20, XSEG_PREFETCH = 21, XSEG_INVALIDATE = 22, XSEG_ROLLBACK = 23, XSEG_FLATTEN = 24, XSEG_RETIRE = 25
};
enum xseg_flag { XSEG_FUA = 1, XSEG_MUST_EXIST = 2, XSEG_NOSYNC = 4, XSEG_FORCE = 8, XSEG_EXCLUSIVE = 16, XSEG_READ_ONLY = 32, XSEG_HOUSEKEEPING = 64, XSEG_COMPARE = 128, XSEG_SHARED = 256, XSEG_LIST = 512 };
enum xseg_reply { XSEG_STABLE = 1, XSEG_MISSING = 2 };
/* xseg_flow.name_space; pages of a flow of the last one may be read by any slot. */
enum xseg_flow_space { XSEG_FLOW_DATA = 0, XSEG_FLOW_MAPS = 1, XSEG_FLOW_SHARED = 2 };
enum xseg_segment_state { XSEG_CREATING = 0, XSEG_READY = 1, XSEG_DESTROYED = 2 };
enum xseg_port_state { XSEG_PORT_FREE = 0, XSEG_PORT_BOUND = 1, XSEG_PORT_LEFT = 2 };
enum xseg_port_flag { XSEG_PORT_TRANSIENT = 1 };
enum xseg_slot_state { XSEG_SLOT_FREE = 0, XSEG_SLOT_OWNED = 1, XSEG_SLOT_QUEUED = 2, XSEG_SLOT_RUNNING = 3, XSEG_SLOT_REPLIED = 4 };
enum xseg_page_state {
    XSEG_PAGE_FREE = 0, XSEG_PAGE_SLOT = 1, XSEG_PAGE_CACHE = 2, XSEG_PAGE_LIMBO = 3, XSEG_PAGE_LENT = 4, XSEG_PAGE_QUARANTINE = 5,
    XSEG_PAGE_RESERVED = 6, XSEG_PAGE_COMMON = 7
};

typedef _Atomic uint64_t xseg_word;
typedef _Atomic uint32_t xseg_word32;

struct xseg_header {
    uint64_t magic;
    uint32_t layout_version, header_size;
    uint64_t creation_id_low, creation_id_high, total_size;
    uint32_t page_size, slot_size, port_count, slots_per_port, ring_capacity, route_count, flow_count, object_count, session_count, page_count_max;
    uint64_t ports_offset, links_offset, link_stride, routes_offset, flows_offset, objects_offset, sessions_offset, slots_offset, page_table_offset, pages_offset;
    uint32_t checksum;
    uint8_t pad0[28];
    xseg_word32 pages_committed;
    uint8_t pad1[60];
    xseg_word32 state;
    uint8_t pad2[60];
    xseg_word epoch;
    uint8_t pad3[56];
    xseg_word32 quick_deaths, quick_death_process;
    xseg_word quick_death_at;
    xseg_word32 quick_death_port;
    uint8_t pad4[4];
    uint64_t locks_inode; /* of the file "locks"; 0 unknown. Another one: do not join, the living would look dead */
    uint8_t pad5[3680];
};

struct xseg_port {
    xseg_word32 state;
    uint32_t generation;
    int32_t process_id;
    uint32_t name_length;
    uint64_t bound_at;
    uint32_t page_share, quick_deaths;
    xseg_word heartbeat, inbound;
    xseg_word32 slot_high_water;
    uint32_t flags;
    uint32_t name_checksum; /* CRC-32C of number (4 bytes), name_length (4), name (64, zeros behind it); 0 none */
    uint8_t pad0[4];
    char name[64];
    xseg_word32 sleeping;
    uint8_t pad1[60];
    uint64_t bad_requests, stale_entries, corrupt_entries, accepted, replayed, kept;
    uint8_t pad2[80];
};

struct xseg_route {
    xseg_word word;
    uint16_t port, shards;
    uint32_t held, name_length;
    uint8_t pad0[44];
    char name[32];
    uint8_t pad1[32];
};

struct xseg_flow {
    xseg_word word;
    uint64_t hash_low, hash_high;
    uint8_t policy, has_flushed, name_space, safe_until_flush, degraded, checksums, ordered, flush_owed;
    uint64_t minimum_pages, maximum_pages, dirty_limit, dirty_age, lock_epoch;
    uint32_t name_length;
    uint8_t uncached, pad1;
    uint16_t open_by;
    uint64_t lock_id;
    /* Bit p: port p has it open. Whoever uses a flow that it did not get from OPEN sets its bit, or leaves used_at 0: never freed. */
    xseg_word users;
    uint64_t used_at;
    uint64_t volume_id;
    uint8_t pad2[144];
    char name[256];
};

struct xseg_object {
    xseg_word word;
    uint64_t hash_low, hash_high;
    uint32_t flow, name_length;
    uint64_t object_size;
    uint32_t missing;
    uint8_t pad0[20];
    char name[256];
};

struct xseg_session {
    xseg_word word;
    uint64_t id_low, id_high, window_base;
    uint8_t pad0[224];
};

struct xseg_slot {
    xseg_word word;
    uint8_t op, reply;
    uint16_t flags;
    uint32_t status;
    uint64_t offset, length;
    xseg_word epoch;
    uint64_t hash_low, hash_high;
    uint32_t flow;
    uint16_t target_length;
    uint8_t attempts, path_length;
    uint32_t root_slot, root_generation;
    uint16_t root_first, extent_count;
    uint32_t parent, parent_generation, source_length;
    uint64_t serviced, deadline, trace_id, accept_sequence, cookie, identity_low, identity_high;
    uint16_t path[8];
    uint64_t indirect[XSEG_MAX_INDIRECT];
    uint8_t pad0[8];
    uint64_t extents[XSEG_INLINE_EXTENTS];
    uint8_t result[64], pad1[64];
    char target[XSEG_MAX_NAME], source[XSEG_MAX_NAME];
    uint8_t pad2[64];
};

struct xseg_page {
    xseg_word word;
    uint64_t sequence;
    uint32_t object;
    uint16_t bucket, flow;
    uint32_t masks, checksum;
};

static_assert(sizeof(struct xseg_header) == 4096, "header");
static_assert(offsetof(struct xseg_header, checksum) == XSEG_CHECKSUMMED, "header checksum");
static_assert(offsetof(struct xseg_header, pages_committed) == 192 && offsetof(struct xseg_header, state) == 256, "header state");
static_assert(offsetof(struct xseg_header, epoch) == 320 && offsetof(struct xseg_header, quick_deaths) == 384, "header epoch");
static_assert(sizeof(struct xseg_port) == 320 && offsetof(struct xseg_port, name) == 64, "port");
static_assert(offsetof(struct xseg_port, sleeping) == 128 && offsetof(struct xseg_port, bad_requests) == 192, "port lines");
static_assert(sizeof(struct xseg_route) == 128 && offsetof(struct xseg_route, name) == 64, "route");
static_assert(sizeof(struct xseg_flow) == 512 && offsetof(struct xseg_flow, name) == 256, "flow");
static_assert(sizeof(struct xseg_object) == 320 && offsetof(struct xseg_object, name) == 64, "object");
static_assert(sizeof(struct xseg_session) == 256, "session");
static_assert(sizeof(struct xseg_slot) == 1088 && offsetof(struct xseg_slot, root_slot) == 64, "slot");
static_assert(offsetof(struct xseg_slot, identity_low) == 128 && offsetof(struct xseg_slot, extents) == 192, "slot extents");
static_assert(offsetof(struct xseg_slot, result) == 384 && offsetof(struct xseg_slot, target) == 512 && offsetof(struct xseg_slot, source) == 768, "slot names");
static_assert(sizeof(struct xseg_page) == 32 && offsetof(struct xseg_page, masks) == 24, "page");

/* ---- words ---- */

static inline uint64_t xseg_slot_word(enum xseg_slot_state state, unsigned holder, uint32_t generation) { return (uint64_t)state | (uint64_t)(uint8_t)holder << 8 | (uint64_t)generation << 32; }
static inline uint64_t xseg_page_word(enum xseg_page_state state, uint32_t owner, uint32_t generation) { return (uint64_t)state | (uint64_t)(owner & 0xFFFFFF) << 8 | (uint64_t)generation << 32; }
static inline uint8_t xseg_state(uint64_t word) { return (uint8_t)word; }
static inline uint32_t xseg_generation(uint64_t word) { return (uint32_t)(word >> 32); }
static inline uint32_t xseg_page_owner(uint64_t word) { return (uint32_t)(word >> 8) & 0xFFFFFF; }
static inline uint64_t xseg_extent(uint32_t page, uint32_t generation) { return page | (uint64_t)generation << 32; }
static inline uint32_t xseg_extent_page(uint64_t extent) { return (uint32_t)extent & 0x7FFFFFFFu; }
static inline int xseg_extent_is_spent(uint64_t extent) { return ((uint32_t)extent & 0x80000000u) != 0; }

static inline uint64_t xseg_load(xseg_word *at) { return atomic_load_explicit(at, memory_order_acquire); }
static inline void xseg_store(xseg_word *at, uint64_t value) { atomic_store_explicit(at, value, memory_order_release); }
static inline int xseg_swap(xseg_word *at, uint64_t expected, uint64_t value) { return atomic_compare_exchange_strong(at, &expected, value); }

/* ---- names: MurmurHash3_x64_128 with seed 0 ---- */

static inline uint64_t xseg_rotate(uint64_t x, int r) { return x << r | x >> (64 - r); }
static inline uint64_t xseg_finalize(uint64_t k)
{
    k = (k ^ k >> 33) * 0xff51afd7ed558ccdull;
    k = (k ^ k >> 33) * 0xc4ceb9fe1a85ec53ull;
    return k ^ k >> 33;
}

static inline void xseg_hash(const void *name, size_t length, uint64_t *low, uint64_t *high)
{
    const uint64_t c1 = 0x87c37b91114253d5ull, c2 = 0x4cf5ad432745937full;
    const uint8_t *at = name;
    uint64_t h1 = 0, h2 = 0;
    for (size_t left = length;; at += 16, left -= 16) {
        uint8_t block[16] = {0};
        uint64_t k1, k2;
        memcpy(block, at, left < 16 ? left : 16);
        memcpy(&k1, block, 8);
        memcpy(&k2, block + 8, 8);
        k1 = xseg_rotate(k1 * c1, 31) * c2;
        k2 = xseg_rotate(k2 * c2, 33) * c1;
        h1 ^= k1;
        if (left >= 16) h1 = (xseg_rotate(h1, 27) + h2) * 5 + 0x52dce729;
        h2 ^= k2;
        if (left >= 16) h2 = (xseg_rotate(h2, 31) + h1) * 5 + 0x38495ab5;
        if (left < 16) break;
    }
    h1 ^= length;
    h2 ^= length;
    h1 += h2;
    h2 += h1;
    h1 = xseg_finalize(h1);
    h2 = xseg_finalize(h2);
    *low = h1 + h2;
    *high = h2 + *low;
}

/* ---- rings: a line with the consumer's head, a line with the producer's tail, the entries ---- */

struct xseg_ring {
    xseg_word *head, *tail, *entries;
    uint64_t mask;
    unsigned shift;
    uint64_t position;
};

static inline size_t xseg_ring_bytes(uint32_t capacity) { return 128 + (size_t)capacity * 8; }
static inline uint8_t xseg_lap(const struct xseg_ring *ring, uint64_t position) { return (uint8_t)((position >> ring->shift) % 255 + 1); }
static inline int xseg_ring_has(const struct xseg_ring *ring) { return (uint8_t)(xseg_load(&ring->entries[ring->position & ring->mask]) >> 24) == xseg_lap(ring, ring->position); }

static inline void xseg_ring_open(struct xseg_ring *ring, void *at, uint32_t capacity)
{
    ring->head = at;
    ring->tail = (xseg_word *)((char *)at + 64);
    ring->entries = (xseg_word *)((char *)at + 128);
    ring->mask = capacity - 1;
    for (ring->shift = 0; 1u << ring->shift < capacity;) ring->shift++;
}

/* The producing end. The tail is stored after the entry: a dead producer may have published one more than it says. */
static inline void xseg_ring_open_producer(struct xseg_ring *ring, void *at, uint32_t capacity)
{
    xseg_ring_open(ring, at, capacity);
    ring->position = xseg_load(ring->tail);
    for (uint64_t i = 0; i <= ring->mask && xseg_ring_has(ring); i++) ring->position++;
    xseg_store(ring->tail, ring->position);
}

/* The consuming end. A client passes over what was meant for its predecessor, whose slots are fenced. */
static inline void xseg_ring_open_consumer(struct xseg_ring *ring, void *at, uint32_t capacity, int passes_over)
{
    xseg_ring_open(ring, at, capacity);
    ring->position = xseg_load(ring->head);
    while (passes_over && xseg_ring_has(ring)) ring->position++;
    xseg_store(ring->head, ring->position);
}

/* 0 if the consumer is a whole ring behind. A head that makes no sense is damaged: the slots bound what can be outstanding. */
static inline int xseg_ring_push(struct xseg_ring *ring, uint32_t slot, uint32_t generation)
{
    uint64_t behind = ring->position - xseg_load(ring->head);
    if (behind == ring->mask + 1) return 0;
    xseg_store(&ring->entries[ring->position & ring->mask], slot | (uint64_t)xseg_lap(ring, ring->position) << 24 | (uint64_t)generation << 32);
    xseg_store(ring->tail, ++ring->position);
    return 1;
}

/*
 * 0 if there is nothing. Publishes the head at once, which is right for replies: before their slots can be used again, so that the
 * ring never overflows. A server publishes the head of a request ring only after it has accepted what it took.
 */
static inline int xseg_ring_pop(struct xseg_ring *ring, uint32_t *slot, uint32_t *generation)
{
    uint64_t entry = xseg_load(&ring->entries[ring->position & ring->mask]);
    if ((uint8_t)(entry >> 24) != xseg_lap(ring, ring->position)) return 0;
    *slot = (uint32_t)entry & 0xFFFFFF;
    *generation = (uint32_t)(entry >> 32);
    xseg_store(ring->head, ++ring->position);
    return 1;
}

/* ---- sleep and wake-up ---- */

/*
 * Call after a push. fifo: the port's file wake/<number>, opened O_RDWR | O_NONBLOCK. The byte goes first: a waker that dies in
 * between must not leave a sleeper whose flag is clear.
 */
static inline void xseg_wake(struct xseg_port *port, int fifo)
{
    atomic_thread_fence(memory_order_seq_cst);
    uint32_t sleep = atomic_load_explicit(&port->sleeping, memory_order_acquire);
    if (sleep == 0) return;
    char one = 1;
    ssize_t ignored = write(fifo, &one, 1);
    (void)ignored;
    atomic_compare_exchange_strong(&port->sleeping, &sleep, 0);
}

/* Call before poll(2) on one's own FIFO, then look once more at the rings; store 0 into sleeping afterwards. */
static inline void xseg_prepare_to_sleep(struct xseg_port *port, uint32_t number_of_this_sleep)
{
    atomic_store_explicit(&port->sleeping, number_of_this_sleep ? number_of_this_sleep : 1, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
}

#endif
