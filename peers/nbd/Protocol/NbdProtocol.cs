namespace Archipelago.Nbd.Protocol;

/// <summary>Numbers of the NBD protocol (doc/proto.md of NetworkBlockDevice/nbd). All fields on the wire are big-endian.</summary>
internal static class NbdProtocol
{
    internal const ulong ServerMagic = 0x4e42444d41474943, OptionMagic = 0x49484156454F5054, OptionReplyMagic = 0x3e889045565a9;
    internal const uint RequestMagic = 0x25609513, SimpleReplyMagic = 0x67446698, StructuredReplyMagic = 0x668e33ef;

    internal const int OptionHeaderSize = 16, RequestHeaderSize = 28, SimpleReplySize = 16, ChunkHeaderSize = 20, DataChunkSize = 28, HoleChunkSize = 32;

    /// <summary>Longest string that the protocol allows.</summary>
    internal const int MaxString = 4096;

    /// <summary>Most payload of one request, as block-size constraints announce it.</summary>
    internal const uint MaxPayload = 32 << 20;
    internal const uint MinimumBlock = 512, PreferredBlock = 4096;

    internal const string BaseAllocation = "base:allocation";
    internal const uint BaseAllocationId = 1;
    internal const uint StateHole = 1, StateZero = 2;
}

/// <summary>Handshake flags of the server; the client answers with the same bits.</summary>
[Flags]
internal enum HandshakeFlags : uint
{
    FixedNewstyle = 1,
    NoZeroes = 2,
}

/// <summary>What an export can do.</summary>
[Flags]
internal enum TransmissionFlags : ushort
{
    HasFlags = 1 << 0,
    ReadOnly = 1 << 1,
    SendFlush = 1 << 2,
    SendFua = 1 << 3,
    SendTrim = 1 << 5,
    SendWriteZeroes = 1 << 6,
    SendDontFragment = 1 << 7,
    CanMultiConn = 1 << 8,
    SendCache = 1 << 10,
}

internal enum NbdOption : uint
{
    ExportName = 1,
    Abort = 2,
    List = 3,
    StartTls = 5,
    Info = 6,
    Go = 7,
    StructuredReply = 8,
    ListMetaContext = 9,
    SetMetaContext = 10,
}

internal enum OptionReply : uint
{
    Ack = 1,
    Server = 2,
    Info = 3,
    MetaContext = 4,
    ErrorUnsupported = 0x8000_0001,
    ErrorPolicy = 0x8000_0002,
    ErrorInvalid = 0x8000_0003,
    ErrorUnknown = 0x8000_0006,
    ErrorShutdown = 0x8000_0007,
    ErrorTooBig = 0x8000_0009,
}

internal enum InfoType : ushort
{
    Export = 0,
    Name = 1,
    Description = 2,
    BlockSize = 3,
}

internal enum NbdCommand : ushort
{
    Read = 0,
    Write = 1,
    Disconnect = 2,
    Flush = 3,
    Trim = 4,
    Cache = 5,
    WriteZeroes = 6,
    BlockStatus = 7,
}

[Flags]
internal enum CommandFlags : ushort
{
    None = 0,
    ForceUnitAccess = 1,
    NoHole = 2,
    DontFragment = 4,
    RequireOne = 8,
    FastZero = 16,
}

internal enum ChunkType : ushort
{
    None = 0,
    OffsetData = 1,
    OffsetHole = 2,
    BlockStatus = 5,
    Error = 0x8001,
}
