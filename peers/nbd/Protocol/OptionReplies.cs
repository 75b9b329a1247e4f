using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace Archipelago.Nbd.Protocol;

/// <summary>Encodes what the server says during the handshake. A control path: it allocates.</summary>
internal sealed class OptionReplies
{
    private readonly ArrayBufferWriter<byte> _bytes = new(256);

    internal ReadOnlyMemory<byte> Written => _bytes.WrittenMemory;

    internal void Clear() => _bytes.Clear();

    internal void Greeting()
    {
        Put(NbdProtocol.ServerMagic);
        Put(NbdProtocol.OptionMagic);
        Put((ushort)(HandshakeFlags.FixedNewstyle | HandshakeFlags.NoZeroes));
    }

    internal void Ack(NbdOption option) => Header(option, OptionReply.Ack, 0);

    internal void Error(NbdOption option, OptionReply error, string message)
    {
        Header(option, error, message.Length);
        Put(message);
    }

    internal void Server(NbdOption option, ReadOnlySpan<byte> name)
    {
        Header(option, OptionReply.Server, 4 + name.Length);
        Put((uint)name.Length);
        _bytes.Write(name);
    }

    internal void MetaContext(NbdOption option, uint id)
    {
        Header(option, OptionReply.MetaContext, 4 + NbdProtocol.BaseAllocation.Length);
        Put(id);
        Put(NbdProtocol.BaseAllocation);
    }

    internal void ExportInfo(NbdOption option, ulong size, TransmissionFlags flags)
    {
        Header(option, OptionReply.Info, 12);
        Put((ushort)InfoType.Export);
        Put(size);
        Put((ushort)flags);
    }

    internal void TextInfo(NbdOption option, InfoType type, string text)
    {
        Header(option, OptionReply.Info, 2 + text.Length);
        Put((ushort)type);
        Put(text);
    }

    internal void BlockSizeInfo(NbdOption option)
    {
        Header(option, OptionReply.Info, 14);
        Put((ushort)InfoType.BlockSize);
        Put(NbdProtocol.MinimumBlock);
        Put(NbdProtocol.PreferredBlock);
        Put(NbdProtocol.MaxPayload);
    }

    /// <summary>The answer to EXPORT_NAME, which has no header.</summary>
    internal void OldExport(ulong size, TransmissionFlags flags, bool zeroes)
    {
        Put(size);
        Put((ushort)flags);
        if (zeroes) _bytes.Write(stackalloc byte[124]);
    }

    private void Header(NbdOption option, OptionReply reply, int length)
    {
        Put(NbdProtocol.OptionReplyMagic);
        Put((uint)option);
        Put((uint)reply);
        Put((uint)length);
    }

    private void Put(ushort value)
    {
        BinaryPrimitives.WriteUInt16BigEndian(_bytes.GetSpan(2), value);
        _bytes.Advance(2);
    }

    private void Put(uint value)
    {
        BinaryPrimitives.WriteUInt32BigEndian(_bytes.GetSpan(4), value);
        _bytes.Advance(4);
    }

    private void Put(ulong value)
    {
        BinaryPrimitives.WriteUInt64BigEndian(_bytes.GetSpan(8), value);
        _bytes.Advance(8);
    }

    private void Put(string ascii) => Encoding.ASCII.GetBytes(ascii, _bytes);
}
