/* Prints every offset and size of xseg.h, and hashes of its arguments, one per line: the test compares them with the C# side. */
#include <stdio.h>
#include "xseg.h"

#define SIZE(type) printf("size " #type " %zu\n", sizeof(struct type))
#define FIELD(type, field) printf("field " #type "." #field " %zu %zu\n", offsetof(struct type, field), sizeof(((struct type *)0)->field))

int main(int count, char **names)
{
    SIZE(xseg_header); SIZE(xseg_port); SIZE(xseg_route); SIZE(xseg_flow); SIZE(xseg_object); SIZE(xseg_session); SIZE(xseg_slot); SIZE(xseg_page);
    FIELD(xseg_header, magic); FIELD(xseg_header, layout_version); FIELD(xseg_header, header_size); FIELD(xseg_header, creation_id_low);
    FIELD(xseg_header, creation_id_high); FIELD(xseg_header, total_size); FIELD(xseg_header, page_size); FIELD(xseg_header, slot_size);
    FIELD(xseg_header, port_count); FIELD(xseg_header, slots_per_port); FIELD(xseg_header, ring_capacity); FIELD(xseg_header, route_count);
    FIELD(xseg_header, flow_count); FIELD(xseg_header, object_count); FIELD(xseg_header, session_count); FIELD(xseg_header, page_count_max);
    FIELD(xseg_header, ports_offset); FIELD(xseg_header, links_offset); FIELD(xseg_header, link_stride); FIELD(xseg_header, routes_offset);
    FIELD(xseg_header, flows_offset); FIELD(xseg_header, objects_offset); FIELD(xseg_header, sessions_offset); FIELD(xseg_header, slots_offset);
    FIELD(xseg_header, page_table_offset); FIELD(xseg_header, pages_offset); FIELD(xseg_header, checksum); FIELD(xseg_header, pages_committed);
    FIELD(xseg_header, state); FIELD(xseg_header, epoch); FIELD(xseg_header, quick_deaths);
    FIELD(xseg_header, quick_death_process); FIELD(xseg_header, quick_death_at); FIELD(xseg_header, quick_death_port); FIELD(xseg_header, locks_inode);
    FIELD(xseg_port, state); FIELD(xseg_port, generation); FIELD(xseg_port, process_id); FIELD(xseg_port, name_length); FIELD(xseg_port, bound_at);
    FIELD(xseg_port, page_share); FIELD(xseg_port, quick_deaths); FIELD(xseg_port, heartbeat); FIELD(xseg_port, inbound);
    FIELD(xseg_port, slot_high_water); FIELD(xseg_port, flags); FIELD(xseg_port, name_checksum); FIELD(xseg_port, name); FIELD(xseg_port, sleeping); FIELD(xseg_port, bad_requests);
    FIELD(xseg_port, stale_entries); FIELD(xseg_port, corrupt_entries); FIELD(xseg_port, accepted); FIELD(xseg_port, replayed); FIELD(xseg_port, kept);
    FIELD(xseg_route, word); FIELD(xseg_route, port); FIELD(xseg_route, shards); FIELD(xseg_route, held); FIELD(xseg_route, name_length); FIELD(xseg_route, name);
    FIELD(xseg_flow, word); FIELD(xseg_flow, hash_low); FIELD(xseg_flow, hash_high); FIELD(xseg_flow, policy); FIELD(xseg_flow, has_flushed);
    FIELD(xseg_flow, name_space); FIELD(xseg_flow, safe_until_flush); FIELD(xseg_flow, degraded); FIELD(xseg_flow, checksums); FIELD(xseg_flow, ordered); FIELD(xseg_flow, flush_owed);
    FIELD(xseg_flow, minimum_pages); FIELD(xseg_flow, maximum_pages); FIELD(xseg_flow, dirty_limit); FIELD(xseg_flow, dirty_age);
    FIELD(xseg_flow, lock_epoch); FIELD(xseg_flow, lock_id); FIELD(xseg_flow, users); FIELD(xseg_flow, used_at); FIELD(xseg_flow, volume_id); FIELD(xseg_flow, uncached); FIELD(xseg_flow, open_by); FIELD(xseg_flow, name_length); FIELD(xseg_flow, name);
    FIELD(xseg_object, word); FIELD(xseg_object, hash_low); FIELD(xseg_object, hash_high); FIELD(xseg_object, flow); FIELD(xseg_object, name_length);
    FIELD(xseg_object, object_size); FIELD(xseg_object, missing); FIELD(xseg_object, name);
    FIELD(xseg_session, word); FIELD(xseg_session, id_low); FIELD(xseg_session, id_high); FIELD(xseg_session, window_base);
    FIELD(xseg_slot, word); FIELD(xseg_slot, op); FIELD(xseg_slot, reply); FIELD(xseg_slot, flags); FIELD(xseg_slot, status); FIELD(xseg_slot, offset);
    FIELD(xseg_slot, length); FIELD(xseg_slot, epoch); FIELD(xseg_slot, hash_low); FIELD(xseg_slot, hash_high); FIELD(xseg_slot, flow);
    FIELD(xseg_slot, target_length); FIELD(xseg_slot, attempts); FIELD(xseg_slot, path_length); FIELD(xseg_slot, root_slot);
    FIELD(xseg_slot, root_generation); FIELD(xseg_slot, root_first); FIELD(xseg_slot, extent_count); FIELD(xseg_slot, parent);
    FIELD(xseg_slot, parent_generation); FIELD(xseg_slot, source_length); FIELD(xseg_slot, serviced); FIELD(xseg_slot, deadline);
    FIELD(xseg_slot, trace_id); FIELD(xseg_slot, accept_sequence); FIELD(xseg_slot, cookie); FIELD(xseg_slot, identity_low);
    FIELD(xseg_slot, identity_high); FIELD(xseg_slot, path); FIELD(xseg_slot, indirect); FIELD(xseg_slot, extents); FIELD(xseg_slot, result);
    FIELD(xseg_slot, target); FIELD(xseg_slot, source);
    FIELD(xseg_page, word); FIELD(xseg_page, sequence); FIELD(xseg_page, object); FIELD(xseg_page, bucket); FIELD(xseg_page, flow);
    FIELD(xseg_page, masks); FIELD(xseg_page, checksum);
    for (int i = 1; i < count; i++) {
        uint64_t low, high;
        xseg_hash(names[i], strlen(names[i]), &low, &high);
        printf("hash %s %016llx %016llx\n", names[i], (unsigned long long)low, (unsigned long long)high);
    }
    return 0;
}
