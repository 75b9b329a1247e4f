using System.Runtime.InteropServices;

namespace Archipelago.Radosd.Librados;

/// <summary>
/// The entry points of librados (C API, <c>librados.so.2</c>) that the data path uses. Names and arguments are the
/// library's own; object and attribute names are NUL-terminated UTF-8. Results below 0 are negated errnos.
/// </summary>
internal static unsafe partial class Native
{
    internal const string Library = "librados.so.2";

    // ---- completions ----

    [LibraryImport(Library)]
    internal static partial int rados_aio_create_completion2(
        nint argument, delegate* unmanaged<nint, nint, void> complete, nint* completion);

    [LibraryImport(Library)]
    internal static partial int rados_aio_get_return_value(nint completion);

    [LibraryImport(Library)]
    internal static partial ulong rados_aio_get_version(nint completion);

    [LibraryImport(Library)]
    internal static partial void rados_aio_release(nint completion);

    [LibraryImport(Library)]
    internal static partial int rados_aio_cancel(nint pool, nint completion);

    // ---- object operations ----

    [LibraryImport(Library)]
    internal static partial int rados_aio_write(
        nint pool, byte* name, nint completion, byte* data, nuint length, ulong offset);

    [LibraryImport(Library)]
    internal static partial int rados_aio_write_full(nint pool, byte* name, nint completion, byte* data, nuint length);

    [LibraryImport(Library)]
    internal static partial int rados_aio_read(
        nint pool, byte* name, nint completion, byte* buffer, nuint length, ulong offset);

    [LibraryImport(Library)]
    internal static partial int rados_aio_remove(nint pool, byte* name, nint completion);

    [LibraryImport(Library)]
    internal static partial int rados_aio_stat(nint pool, byte* name, nint completion, ulong* size, long* modified);

    [LibraryImport(Library)]
    internal static partial int rados_aio_getxattr(
        nint pool, byte* name, nint completion, byte* attribute, byte* buffer, nuint length);

    [LibraryImport(Library)]
    internal static partial int rados_aio_rmxattr(nint pool, byte* name, nint completion, byte* attribute);

    [LibraryImport(Library)]
    internal static partial int rados_aio_flush_async(nint pool, nint completion);

    // ---- several operations at once ----

    [LibraryImport(Library)]
    internal static partial nint rados_create_write_op();

    [LibraryImport(Library)]
    internal static partial void rados_release_write_op(nint op);

    [LibraryImport(Library)]
    internal static partial void rados_write_op_assert_exists(nint op);

    [LibraryImport(Library)]
    internal static partial void rados_write_op_assert_version(nint op, ulong version);

    [LibraryImport(Library)]
    internal static partial void rados_write_op_create(nint op, int exclusive, byte* category);

    [LibraryImport(Library)]
    internal static partial void rados_write_op_write(nint op, byte* data, nuint length, ulong offset);

    [LibraryImport(Library)]
    internal static partial void rados_write_op_write_full(nint op, byte* data, nuint length);

    [LibraryImport(Library)]
    internal static partial void rados_write_op_zero(nint op, ulong offset, ulong length);

    [LibraryImport(Library)]
    internal static partial void rados_write_op_truncate(nint op, ulong size);

    [LibraryImport(Library)]
    internal static partial void rados_write_op_remove(nint op);

    [LibraryImport(Library)]
    internal static partial void rados_write_op_setxattr(nint op, byte* attribute, byte* value, nuint length);

    [LibraryImport(Library)]
    internal static partial void rados_write_op_cmpxattr(
        nint op, byte* attribute, byte comparison, byte* value, nuint length);

    [LibraryImport(Library)]
    internal static partial void rados_write_op_cmpext(nint op, byte* expected, nuint length, ulong offset, int* result);

    [LibraryImport(Library)]
    internal static partial void rados_write_op_set_alloc_hint2(
        nint op, ulong objectSize, ulong writeSize, uint flags);

    [LibraryImport(Library)]
    internal static partial void rados_write_op_exec(
        nint op, byte* cls, byte* method, byte* input, nuint length, int* result);

    [LibraryImport(Library)]
    internal static partial int rados_aio_write_op_operate(
        nint op, nint pool, nint completion, byte* name, long* modified, int flags);
}
