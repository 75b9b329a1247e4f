namespace Archipelago.Radosd.Librados;

/// <summary>How one asynchronous operation ended. A value; it stays valid after the next one was taken.</summary>
public readonly struct RadosResult
{
    internal RadosResult(RadosCompletion completion)
    {
        State = completion.State;
        Token = completion.Token;
        Errno = RadosErrno.FromReturn(completion.ReturnCode);
        Length = Math.Max(completion.ReturnCode, 0);
        Version = completion.Version;
        ObjectSize = completion.ObjectSize;
        ModifiedSeconds = completion.ModifiedSeconds;
    }

    /// <summary>What the caller gave at submit, for example its pooled request.</summary>
    public object? State { get; }

    /// <summary>The number that the caller gave at submit, for example (slot, generation).</summary>
    public long Token { get; }

    /// <summary>
    /// 0, or a positive errno (<see cref="RadosErrno"/>). For a write, ETIMEDOUT and ECANCELED leave the outcome
    /// unknown (<see cref="RadosErrno.LeavesOutcomeUnknown"/>).
    /// </summary>
    public int Errno { get; }

    /// <summary>
    /// Bytes read by a read or getxattr, else 0. A read is short only at the object's end; the rest of its buffer
    /// is untouched.
    /// </summary>
    public int Length { get; }

    /// <summary>The object's version after a write or at a read; 0 if unknown. Versions of one object only rise.</summary>
    public ulong Version { get; }

    /// <summary>Of a stat: the object's size in bytes.</summary>
    public ulong ObjectSize { get; }

    /// <summary>Of a stat: when the object was last written, in seconds since 1970 (clock of the client that wrote).</summary>
    public long ModifiedSeconds { get; }
}
