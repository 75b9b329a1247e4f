using System.Runtime.CompilerServices;

namespace Archipelago.Radosd.Librados;

/// <summary>
/// One pool, in one namespace of it, as seen by one thread: an I/O context of librados. The asynchronous operations
/// here submit and return at once; the result comes through the <see cref="CompletionQueue"/>.
/// <para>
/// All of them: names are UTF-8 without a NUL, 1 to 512 bytes; offsets and lengths are bytes. The answer is 0
/// (submitted), <see cref="RadosErrno.EAGAIN"/> (limit reached: nothing was submitted, try again after taking a
/// result), E2BIG (more bytes than the queue ever allows), EINVAL or ENAMETOOLONG (name), EPIPE (closed). They are
/// to be called on the queue's thread only; writes to one object take effect in the order of their submits, also
/// after the OSD was away. An operation waits for its OSD for ever; deadlines are the caller's.
/// </para>
/// </summary>
[SkipLocalsInit]
public sealed unsafe partial class RadosPool
{
    private readonly CompletionQueue _queue;
    private nint _handle;

    internal RadosPool(nint handle, CompletionQueue queue, string pool, string ns)
    {
        _handle = handle;
        _queue = queue;
        Name = pool;
        Namespace = ns;
    }

    /// <summary>The pool's name.</summary>
    public string Name { get; }

    /// <summary>The namespace within the pool; empty for the default one.</summary>
    public string Namespace { get; }

    /// <summary>Operations of this pool whose result was not taken yet. Queue's thread.</summary>
    public int InFlight { get; internal set; }

    internal nint Handle => _handle;

    internal bool IsClosed => _handle == 0;

    /// <summary>
    /// Reads up to <paramref name="length"/> (at least 1) bytes into memory that must stay where it is, and
    /// allocated, until the result is taken. Short at the object's end, 0 bytes behind it; ENOENT if there is no object.
    /// </summary>
    public int Read(ReadOnlySpan<byte> name, byte* buffer, int length, ulong offset, object? state, long token = 0)
    {
        // To an OSD a length of 0 means the whole object, and librados would copy it all behind the buffer.
        if (length <= 0)
            return RadosErrno.EINVAL;
        int errno = Begin(name, length, state, token, out NulTerminated c, out RadosCompletion completion);
        return errno != 0 ? errno : _queue.End(completion,
            Native.rados_aio_read(_handle, c.Pointer, completion.Handle, buffer, (nuint)length, offset));
    }

    /// <summary>Writes the data, creating the object if need be. The data is copied before the call returns.</summary>
    public int Write(ReadOnlySpan<byte> name, ReadOnlySpan<byte> data, ulong offset, object? state, long token = 0)
    {
        int errno = Begin(name, data.Length, state, token, out NulTerminated c, out RadosCompletion completion);
        if (errno != 0)
            return errno;
        fixed (byte* p = data)
        {
            return _queue.End(completion, Native.rados_aio_write(
                _handle, c.Pointer, completion.Handle, p, (nuint)data.Length, offset));
        }
    }

    /// <summary>Replaces the object's whole content, atomically. The data is copied before the call returns.</summary>
    public int WriteFull(ReadOnlySpan<byte> name, ReadOnlySpan<byte> data, object? state, long token = 0)
    {
        int errno = Begin(name, data.Length, state, token, out NulTerminated c, out RadosCompletion completion);
        if (errno != 0)
            return errno;
        fixed (byte* p = data)
        {
            return _queue.End(completion, Native.rados_aio_write_full(
                _handle, c.Pointer, completion.Handle, p, (nuint)data.Length));
        }
    }

    /// <summary>Removes the object; ENOENT if there is none.</summary>
    public int Remove(ReadOnlySpan<byte> name, object? state, long token = 0)
    {
        int errno = Begin(name, 0, state, token, out NulTerminated c, out RadosCompletion completion);
        return errno != 0 ? errno : _queue.End(completion,
            Native.rados_aio_remove(_handle, c.Pointer, completion.Handle));
    }

    /// <summary>Asks for size and time of the last write (in the result); ENOENT if there is no object.</summary>
    public int Stat(ReadOnlySpan<byte> name, object? state, long token = 0)
    {
        int errno = Begin(name, 0, state, token, out NulTerminated c, out RadosCompletion completion);
        return errno != 0 ? errno : _queue.End(completion, Native.rados_aio_stat(
            _handle, c.Pointer, completion.Handle, &completion.Stat->Size, &completion.Stat->Modified));
    }

    /// <summary>
    /// Sets the object's size: cuts it, or extends it with zeros. Success and nothing done if there is no object;
    /// put an assert-exists before it (<see cref="RadosWriteOp"/>) to be told.
    /// </summary>
    public int Truncate(ReadOnlySpan<byte> name, ulong size, object? state, long token = 0)
    {
        using var op = RadosWriteOp.Create();
        op.Truncate(size);
        return op.Submit(this, name, state, token);
    }

    /// <summary>
    /// Makes the range read as zeros; the store may free it. Never extends nor creates the object, and a range that
    /// reaches its end <b>cuts</b> it: the OSD makes a truncate of it. Who needs the size kept adds a truncate to the
    /// same <see cref="RadosWriteOp"/>.
    /// </summary>
    public int Zero(ReadOnlySpan<byte> name, ulong offset, ulong length, object? state, long token = 0)
    {
        using var op = RadosWriteOp.Create();
        op.Zero(offset, length);
        return op.Submit(this, name, state, token);
    }

    /// <summary>
    /// Ends when every operation that changes something, submitted before through this pool object, has ended; it
    /// has no error of its own. RADOS acknowledges a write when it is durable, so a flush adds only the waiting.
    /// </summary>
    public int Flush(object? state, long token = 0)
    {
        int errno = _queue.Begin(this, 0, state, token, out RadosCompletion completion);
        return errno != 0 ? errno : _queue.End(completion, Native.rados_aio_flush_async(_handle, completion.Handle));
    }

    /// <summary>Submits a prepared set of operations (see <see cref="RadosWriteOp.Submit"/>).</summary>
    internal int Operate(nint op, long bytes, ReadOnlySpan<byte> name, object? state, long token)
    {
        int errno = Begin(name, bytes, state, token, out NulTerminated c, out RadosCompletion completion);
        return errno != 0 ? errno : _queue.End(completion,
            Native.rados_aio_write_op_operate(op, _handle, completion.Handle, c.Pointer, null, 0));
    }

    /// <summary>After the queue settled, before <c>rados_shutdown</c>.</summary>
    internal void Destroy()
    {
        if (_handle == 0)
            return;
        NativeControl.rados_ioctx_destroy(_handle);
        _handle = 0;
    }

    private int Begin(
        ReadOnlySpan<byte> name, long bytes, object? state, long token, out NulTerminated c, out RadosCompletion completion)
    {
        Unsafe.SkipInit(out c);
        Unsafe.SkipInit(out completion);
        int errno = c.Set(name);
        return errno != 0 ? errno : _queue.Begin(this, bytes, state, token, out completion);
    }
}
