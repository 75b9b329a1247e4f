using System.Runtime.CompilerServices;

namespace Archipelago.Radosd.Librados;

/// <summary>
/// Several changes of one object that take effect together or not at all, in the given order; the first that fails
/// fails all with its errno. For one submit: <c>using var op = RadosWriteOp.Create(); op.AssertExists();
/// op.Write(…); errno = op.Submit(pool, name, state);</c>. Data and names are copied when added. No managed allocation.
/// </summary>
[SkipLocalsInit]
public unsafe ref struct RadosWriteOp
{
    private nint _handle;
    private long _bytes;
    private int _errno;

    /// <summary>An empty set of operations.</summary>
    public static RadosWriteOp Create() => new() { _handle = Native.rados_create_write_op() };

    /// <summary>ENOENT unless the object exists.</summary>
    public readonly void AssertExists() => Native.rados_write_op_assert_exists(_handle);

    /// <summary>ERANGE or EOVERFLOW (75) unless the object's version is this one (of a former result).</summary>
    public readonly void AssertVersion(ulong version) => Native.rados_write_op_assert_version(_handle, version);

    /// <summary>Creates the object; with <paramref name="exclusive"/> EEXIST if it exists.</summary>
    public readonly void Create(bool exclusive) => Native.rados_write_op_create(_handle, exclusive ? 1 : 0, null);

    /// <summary>Writes at the offset, creating the object if need be.</summary>
    public void Write(scoped ReadOnlySpan<byte> data, ulong offset)
    {
        _bytes += data.Length;
        fixed (byte* p = data)
            Native.rados_write_op_write(_handle, p, (nuint)data.Length, offset);
    }

    /// <summary>Replaces the whole content.</summary>
    public void WriteFull(scoped ReadOnlySpan<byte> data)
    {
        _bytes += data.Length;
        fixed (byte* p = data)
            Native.rados_write_op_write_full(_handle, p, (nuint)data.Length);
    }

    /// <summary>Makes the range read as zeros; neither extends nor creates the object. A range that reaches the
    /// object's end cuts it there (the OSD makes a truncate of it).</summary>
    public readonly void Zero(ulong offset, ulong length) => Native.rados_write_op_zero(_handle, offset, length);

    /// <summary>Sets the size in bytes; nothing happens if there is no object.</summary>
    public readonly void Truncate(ulong size) => Native.rados_write_op_truncate(_handle, size);

    /// <summary>Removes the object; ENOENT if there is none.</summary>
    public readonly void Remove() => Native.rados_write_op_remove(_handle);

    /// <summary>Sets an extended attribute, creating the object if need be.</summary>
    public void SetAttribute(scoped ReadOnlySpan<byte> attribute, scoped ReadOnlySpan<byte> value)
    {
        Unsafe.SkipInit(out NulTerminated a);
        if (!Accept(a.Set(attribute)))
            return;
        _bytes += attribute.Length + value.Length;
        fixed (byte* p = value)
            Native.rados_write_op_setxattr(_handle, a.Pointer, p, (nuint)value.Length);
    }

    /// <summary>
    /// ECANCELED unless the attribute has exactly this value: the compare of a compare-and-set. (Unless
    /// <see cref="CompletionQueue.CancelAll"/> was called this errno then says that nothing was applied.)
    /// </summary>
    public void CompareAttribute(scoped ReadOnlySpan<byte> attribute, scoped ReadOnlySpan<byte> value)
    {
        const byte equal = 1;
        Unsafe.SkipInit(out NulTerminated a);
        if (!Accept(a.Set(attribute)))
            return;
        _bytes += attribute.Length + value.Length;
        fixed (byte* p = value)
            Native.rados_write_op_cmpxattr(_handle, a.Pointer, equal, p, (nuint)value.Length);
    }

    /// <summary>
    /// EILSEQ unless the range holds exactly these bytes: the compare of a compare-and-write. What lies beyond the object's end is
    /// compared as zeros, and so is all of an object that does not exist; no comparison creates one.
    /// </summary>
    public void Compare(scoped ReadOnlySpan<byte> expected, ulong offset)
    {
        _bytes += expected.Length;
        fixed (byte* p = expected)
            Native.rados_write_op_cmpext(_handle, p, (nuint)expected.Length, offset, null);
    }

    /// <summary>Tells the store the size that the object will have and the usual size of its writes.</summary>
    public readonly void HintSizes(ulong objectSize, ulong writeSize)
        => Native.rados_write_op_set_alloc_hint2(_handle, objectSize, writeSize, 0);

    /// <summary>Calls a method of an object class on the OSD, for example to assert a lock.</summary>
    public void Execute(scoped ReadOnlySpan<byte> cls, scoped ReadOnlySpan<byte> method, scoped ReadOnlySpan<byte> input)
    {
        Unsafe.SkipInit(out NulTerminated c);
        Unsafe.SkipInit(out NulTerminated m);
        if (!Accept(c.Set(cls)) || !Accept(m.Set(method)))
            return;
        _bytes += input.Length;
        fixed (byte* p = input)
            Native.rados_write_op_exec(_handle, c.Pointer, m.Pointer, p, (nuint)input.Length, null);
    }

    /// <summary>
    /// Submits, on the thread of the pool's queue; answers as described at <see cref="RadosPool"/>, and EINVAL if a
    /// part was malformed or the set was submitted before. After EAGAIN the same set may be submitted again.
    /// </summary>
    public int Submit(RadosPool pool, scoped ReadOnlySpan<byte> name, object? state, long token = 0)
    {
        if (_errno != 0)
            return _errno;
        int errno = _handle == 0 ? RadosErrno.EINVAL : pool.Operate(_handle, _bytes, name, state, token);
        if (errno == 0)
            Dispose();      // librados has taken the content out: single use
        return errno;
    }

    /// <summary>Frees librados' side; harmless when done before.</summary>
    public void Dispose()
    {
        if (_handle != 0)
            Native.rados_release_write_op(_handle);
        _handle = 0;
    }

    private bool Accept(int errno)
    {
        if (errno != 0)
            _errno = errno;
        return errno == 0;
    }
}
