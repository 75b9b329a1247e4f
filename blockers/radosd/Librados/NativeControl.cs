using System.Runtime.InteropServices;

namespace Archipelago.Radosd.Librados;

/// <summary>The entry points of librados that block and belong to no data path: cluster, pools, locks.</summary>
internal static unsafe partial class NativeControl
{
    // ---- cluster ----

    [LibraryImport(Native.Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int rados_create2(nint* cluster, string clusterName, string entity, ulong flags);

    [LibraryImport(Native.Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int rados_conf_read_file(nint cluster, string path);

    [LibraryImport(Native.Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int rados_conf_set(nint cluster, string option, string value);

    [LibraryImport(Native.Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int rados_conf_get(nint cluster, string option, byte* buffer, nuint length);

    [LibraryImport(Native.Library)]
    internal static partial int rados_connect(nint cluster);

    [LibraryImport(Native.Library)]
    internal static partial void rados_shutdown(nint cluster);

    [LibraryImport(Native.Library)]
    internal static partial ulong rados_get_instance_id(nint cluster);

    [LibraryImport(Native.Library)]
    internal static partial int rados_getaddrs(nint cluster, byte** addresses);

    [LibraryImport(Native.Library)]
    internal static partial int rados_cluster_fsid(nint cluster, byte* buffer, nuint length);

    [LibraryImport(Native.Library)]
    internal static partial void rados_buffer_free(byte* buffer);

    [LibraryImport(Native.Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int rados_blocklist_add(nint cluster, string address, uint seconds);

    [LibraryImport(Native.Library)]
    internal static partial int rados_wait_for_latest_osdmap(nint cluster);

    [LibraryImport(Native.Library)]
    internal static partial void rados_version(int* major, int* minor, int* extra);

    // ---- pools ----

    [LibraryImport(Native.Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial long rados_pool_lookup(nint cluster, string pool);

    [LibraryImport(Native.Library)]
    internal static partial int rados_ioctx_create2(nint cluster, long poolId, nint* pool);

    [LibraryImport(Native.Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial void rados_ioctx_set_namespace(nint pool, string name);

    [LibraryImport(Native.Library)]
    internal static partial void rados_ioctx_destroy(nint pool);

    [LibraryImport(Native.Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int rados_stat(nint pool, string name, out ulong size, out long modified);

    [LibraryImport(Native.Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int rados_exec(
        nint pool, string name, string cls, string method, byte* input, nuint length, byte* output, nuint outputLength);

    // ---- names of objects ----

    [LibraryImport(Native.Library)]
    internal static partial nint rados_object_list_begin(nint pool);

    [LibraryImport(Native.Library)]
    internal static partial nint rados_object_list_end(nint pool);

    [LibraryImport(Native.Library)]
    internal static partial int rados_object_list_is_end(nint pool, nint cursor);

    [LibraryImport(Native.Library)]
    internal static partial void rados_object_list_cursor_free(nint pool, nint cursor);

    [LibraryImport(Native.Library)]
    internal static partial int rados_object_list_cursor_cmp(nint pool, nint left, nint right);

    [LibraryImport(Native.Library)]
    internal static partial int rados_object_list(
        nint pool, nint start, nint finish, nuint count, byte* filter, nuint filterLength, RadosListing.Item* items, ref nint next);

    [LibraryImport(Native.Library)]
    internal static partial void rados_object_list_free(nuint count, RadosListing.Item* items);

    [LibraryImport(Native.Library)]
    internal static partial void rados_object_list_slice(
        nint pool, nint start, nint finish, ulong index, ulong count, ref nint sliceStart, ref nint sliceFinish);

    // ---- advisory locks ----

    [LibraryImport(Native.Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int rados_lock_exclusive(
        nint pool, string obj, string name, string cookie, string description, TimeVal* duration, byte flags);

    [LibraryImport(Native.Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int rados_unlock(nint pool, string obj, string name, string cookie);

    [LibraryImport(Native.Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int rados_break_lock(nint pool, string obj, string name, string client, string cookie);

    [LibraryImport(Native.Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint rados_list_lockers(
        nint pool, string obj, string name, out int exclusive, byte* tag, nuint* tagLength, byte* clients,
        nuint* clientsLength, byte* cookies, nuint* cookiesLength, byte* addresses, nuint* addressesLength);

    /// <summary>C's <c>struct timeval</c> of 64-bit Linux.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct TimeVal
    {
        internal long Seconds;
        internal long Microseconds;
    }
}
