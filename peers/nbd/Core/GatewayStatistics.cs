namespace Archipelago.Nbd.Core;

/// <summary>What a gateway has done. Written by its reactor with plain increments, readable by any thread.</summary>
public sealed class GatewayStatistics
{
    /// <summary>Client requests accepted and not yet gone.</summary>
    public long InFlight;
    /// <summary>READ requests.</summary>
    public long Reads;
    /// <summary>WRITE requests.</summary>
    public long Writes;
    /// <summary>FLUSH requests.</summary>
    public long Flushes;
    /// <summary>TRIM requests.</summary>
    public long Discards;
    /// <summary>WRITE_ZEROES requests.</summary>
    public long Zeroes;
    /// <summary>Requests of other kinds.</summary>
    public long Others;
    /// <summary>Bytes asked for by READ.</summary>
    public long BytesRead;
    /// <summary>Bytes of WRITE payload.</summary>
    public long BytesWritten;
    /// <summary>Bytes asked for by TRIM.</summary>
    public long BytesDiscarded;
    /// <summary>Bytes asked for by WRITE_ZEROES.</summary>
    public long BytesZeroed;
    /// <summary>Clients that said what is no NBD, and were cut for it.</summary>
    public long ProtocolErrors;
    /// <summary>Requests answered with an error, refused ones included.</summary>
    public long Errors;
    /// <summary>Requests whose deadline passed.</summary>
    public long Expired;
    /// <summary>Times that a request had to wait for a change whose deadline had passed.</summary>
    public long HeldUp;
    /// <summary>Times that a request had to wait for a slot or pages.</summary>
    public long Waits;
    /// <summary>Clients connected now.</summary>
    public long Connections;
    /// <summary>Clients accepted since the start.</summary>
    public long Accepted;
    /// <summary>Clients refused because there were too many.</summary>
    public long Refused;
    /// <summary>Clients that went away without saying so, or broke off.</summary>
    public long Lost;
    /// <summary>Clients cut: garbage, too slow a handshake, or stalled while others waited.</summary>
    public long Cut;
}
