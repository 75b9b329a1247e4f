using System.Runtime.InteropServices;

namespace Archipelago.Radosd.Librados;

/// <summary>
/// Walks the names of a pool's objects, in its namespace only, in the order of their hashes; blocks, so for helper threads. A position is the
/// hash of a name with its bits reversed, as RADOS orders them: unlike what <c>rados_nobjects_list_seek</c> takes, which is the number of a placement
/// group, it stays what it is when their number changes, and few names share one. Used up after an error.
/// </summary>
internal sealed unsafe class RadosListing : IDisposable
{
    private const ulong Positions = 1ul << 32;
    private const int MostAtOnce = 1024;

    private readonly nint _pool;
    private readonly nint _begin, _end, _slice, _sliceEnd;
    private nint _at, _next;

    internal RadosListing(RadosPool pool, uint position)
    {
        ObjectDisposedException.ThrowIf(pool.IsClosed, pool);
        _pool = pool.Handle;
        _begin = NativeControl.rados_object_list_begin(_pool);
        _end = NativeControl.rados_object_list_end(_pool);
        // Places that librados assigns to.
        _slice = NativeControl.rados_object_list_begin(_pool);
        _sliceEnd = NativeControl.rados_object_list_begin(_pool);
        _at = NativeControl.rados_object_list_begin(_pool);
        _next = NativeControl.rados_object_list_begin(_pool);
        Slice(position, ref _at);
    }

    /// <summary>A found name.</summary>
    internal delegate void Found(ReadOnlySpan<byte> name);

    /// <summary>Whether all was read.</summary>
    internal bool IsEnd => NativeControl.rados_object_list_is_end(_pool, _at) != 0;

    /// <summary>The highest position before which everything was read; of its own names some may have been, too.</summary>
    internal uint Position
    {
        get
        {
            ulong low = 0, high = Positions;
            var slice = _slice;
            while (high - low > 1)
            {
                ulong middle = (low + high) / 2;
                Slice((uint)middle, ref slice);
                if (NativeControl.rados_object_list_cursor_cmp(_pool, slice, _at) <= 0) low = middle;
                else high = middle;
            }

            return (uint)low;
        }
    }

    /// <summary>Reads up to <paramref name="count"/> names; 0 or an errno.</summary>
    internal int Read(int count, Found found)
    {
        var items = new Item[Math.Clamp(count, 1, MostAtOnce)];
        fixed (Item* p = items)
        {
            int code = NativeControl.rados_object_list(_pool, _at, _end, (nuint)items.Length, null, 0, p, ref _next);
            try
            {
                for (int i = 0; i < code; i++)
                    // One with a locator is not to be had by its name.
                    if (p[i].LocatorLength == 0) found(new ReadOnlySpan<byte>(p[i].Name, (int)p[i].NameLength));
            }
            finally
            {
                NativeControl.rados_object_list_free((nuint)items.Length, p);
            }

            if (code >= 0) (_at, _next) = (_next, _at);
            return RadosErrno.FromReturn(code);
        }
    }

    public void Dispose()
    {
        foreach (nint cursor in (nint[])[_begin, _end, _slice, _sliceEnd, _at, _next]) NativeControl.rados_object_list_cursor_free(_pool, cursor);
    }

    private void Slice(uint position, ref nint cursor)
    {
        nint end = _sliceEnd;
        NativeControl.rados_object_list_slice(_pool, _begin, _end, position, Positions, ref cursor, ref end);
    }

    /// <summary>librados' <c>rados_object_list_item</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct Item
    {
        internal nuint NameLength;
        internal byte* Name;
        internal nuint NamespaceLength;
        internal byte* Namespace;
        internal nuint LocatorLength;
        internal byte* Locator;
    }
}
