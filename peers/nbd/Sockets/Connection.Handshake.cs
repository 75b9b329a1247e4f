using System.Buffers.Binary;
using Archipelago.Nbd.Core;
using Archipelago.Nbd.Protocol;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Microsoft.Extensions.Logging;

namespace Archipelago.Nbd.Sockets;

/// <summary>
/// The handshake: fixed newstyle. Nothing longer than the connection's buffer is ever held; a client that is not through within
/// the timeout is cut.
/// </summary>
internal sealed partial class Connection
{
    /// <summary>Data of an option that does not fit the buffer is skipped up to this; beyond, the client is cut.</summary>
    private const uint MaxSkipped = 64 << 10;
    private const int MaxOptionData = BufferSize - NbdProtocol.OptionHeaderSize;

    private readonly Completion<bool> _ready = new();
    private readonly OptionReplies _replies = new();
    private bool _awaitsReady, _cut;
    private TimerHandle _timeout;
    private long _timesOut;
    private string? _contextExport;

    private async void BeginHandshake()
    {
        (_awaitsReady, _cut, _contextExport) = (false, false, null);
        SetTimeout(_server.Options.HandshakeTimeout.Ticks * 100);
        bool through = false;
        try
        {
            through = await HandshakeAsync() && !_cut;
        }
        catch (Exception fault)
        {
            // Nobody awaits this: it would end the process, for one client.
            _server.Log.LogError(fault, "the handshake of an NBD client ended in an error of our own: {Error}; the client is cut", fault.Message);
        }

        _server.Reactor.Cancel(_timeout);
        if (through && !_server.IsStopping)
        {
            _phase = Phase.Transmission;
            _progress = _server.Reactor.Now;
            // A client that is not read, for its limit or for want of pages, may end: over TCP that is no hang-up.
            Watch(IoEvents.Read | IoEvents.ReadHangUp);
            _server.Activate(this);
            _server.Run();
        }
        else
        {
            Shut();
        }
    }

    private void SetTimeout(long nanoseconds)
    {
        _timesOut = _server.Reactor.Now + nanoseconds;
        _timeout = _server.Reactor.Schedule(_timesOut, static state => ((Connection)state!).Cut("took too long for the handshake"), this);
    }

    private void HandshakeReady(IoEvents events)
    {
        if (_awaitsReady)
        {
            _awaitsReady = false;
            _ready.Set(!_cut);
        }
        else if ((events & (IoEvents.Error | IoEvents.HangUp)) != 0)
        {
            // Gone while we open its volume. The event would come for ever.
            _cut = true;
            _watch?.Dispose();
            _watch = null;
        }
        else
        {
            Watch(IoEvents.None);
        }
    }

    private void CutHandshake()
    {
        _cut = true;
        if (!_awaitsReady) return;
        _awaitsReady = false;
        _ready.Set(false);
    }

    /// <summary>True if the client is to go on with requests.</summary>
    private async Task<bool> HandshakeAsync()
    {
        _replies.Clear();
        _replies.Greeting();
        if (!await ReplyAsync() || !await FillAsync(4)) return false;
        uint flags = TakeUInt32();
        if ((flags & ~(uint)(HandshakeFlags.FixedNewstyle | HandshakeFlags.NoZeroes)) != 0) return Refused("unknown handshake flags");
        bool zeroes = (flags & (uint)HandshakeFlags.NoZeroes) == 0;
        while (true)
        {
            if (!await FillAsync(NbdProtocol.OptionHeaderSize)) return false;
            ulong magic = ((ulong)TakeUInt32() << 32) | TakeUInt32();
            var option = (NbdOption)TakeUInt32();
            uint length = TakeUInt32();
            if (magic != NbdProtocol.OptionMagic) return Refused("no NBD option where one was expected");
            if (length > MaxSkipped) return Refused("an option beyond all bounds was announced");
            if (length > MaxOptionData)
            {
                if (!await SkipAsync(length)) return false;
                if (option == NbdOption.ExportName) return Refused("an export name beyond all bounds");
                _replies.Error(option, OptionReply.ErrorTooBig, "too long");
                if (!await ReplyAsync()) return false;
                continue;
            }

            if (!await FillAsync((int)length)) return false;
            var data = TakeBytes((int)length);
            switch (option)
            {
                case NbdOption.ExportName:
                    return await ExportNameAsync(data, zeroes);
                case NbdOption.Abort:
                    _replies.Ack(option);
                    await ReplyAsync();
                    return false;
                case NbdOption.Go when await InfoAsync(option, data):
                    return await ReplyAsync();
                case NbdOption.Go:
                    break;
                case NbdOption.Info:
                    await InfoAsync(option, data);
                    break;
                case NbdOption.List:
                    await ListAsync(option, data);
                    break;
                case NbdOption.StructuredReply:
                    Structured(option, data);
                    break;
                case NbdOption.ListMetaContext or NbdOption.SetMetaContext:
                    MetaContexts(option, data);
                    break;
                default:
                    _replies.Error(option, OptionReply.ErrorUnsupported, "not supported");
                    break;
            }

            if (!await ReplyAsync()) return false;
        }
    }

    private async Task<bool> ExportNameAsync(byte[] name, bool zeroes)
    {
        // This option knows no error but the end of the connection.
        var answer = await AcquireAsync(NameOrDefault(name));
        if (answer.Status != 0) return false;
        Use(answer);
        _replies.OldExport(answer.Size, Flags(answer.IsReadOnly), zeroes);
        return await ReplyAsync();
    }

    /// <summary>INFO and GO; true if the client has an export now.</summary>
    private async Task<bool> InfoAsync(NbdOption option, byte[] data)
    {
        if (!TryParseInfo(data, out var name, out bool wantsName, out bool wantsDescription))
        {
            _replies.Error(option, OptionReply.ErrorInvalid, "malformed");
            return false;
        }

        name = NameOrDefault(name);
        var answer = option == NbdOption.Go ? await AcquireAsync(name) : await AskAsync(name);
        if (answer.Status != 0)
        {
            var error = answer.Status is Errno.EACCES or Errno.EBUSY or Errno.EPERM ? OptionReply.ErrorPolicy
                : answer.Status == Errno.ESHUTDOWN ? OptionReply.ErrorShutdown : OptionReply.ErrorUnknown;
            _replies.Error(option, error, Explain(answer, name));
            return false;
        }

        string text = System.Text.Encoding.ASCII.GetString(name);
        if (option == NbdOption.Go) Use(answer);
        _replies.ExportInfo(option, answer.Size, Flags(answer.IsReadOnly));
        if (wantsName) _replies.TextInfo(option, InfoType.Name, text);
        if (wantsDescription) _replies.TextInfo(option, InfoType.Description, $"Archipelago {(text.Contains('@') && !text.EndsWith('@') ? "snapshot" : "volume")} {text}");
        _replies.BlockSizeInfo(option);
        _replies.Ack(option);
        // Contexts belong to the export that they were chosen for.
        if (option == NbdOption.Go && _contextExport != text) _allocation = false;
        return option == NbdOption.Go;
    }

    private static string Explain(in ExportAnswer answer, byte[] name)
    {
        string why = answer.Why ?? (answer.Status == Errno.ENOENT ? "no such volume or snapshot" : Errno.Describe(answer.Status));
        return answer.Status != Errno.EBUSY || name.Contains((byte)'@') ? why
            : $"{why}; the export {System.Text.Encoding.ASCII.GetString(name)}@ is the volume only for reading";
    }

    private static bool TryParseInfo(byte[] data, out byte[] name, out bool wantsName, out bool wantsDescription)
    {
        var reader = new OptionReader(data);
        name = reader.String().ToArray();
        int requests = reader.UInt16();
        (wantsName, wantsDescription) = (false, false);
        for (int i = 0; i < requests && reader.IsSound; i++)
        {
            var type = (InfoType)reader.UInt16();
            wantsName |= type == InfoType.Name;
            wantsDescription |= type == InfoType.Description;
        }

        return reader.IsAtEnd && name.Length <= NbdProtocol.MaxString;
    }

    private async Task ListAsync(NbdOption option, byte[] data)
    {
        if (data.Length != 0)
        {
            _replies.Error(option, OptionReply.ErrorInvalid, "LIST has no data");
            return;
        }

        var (status, names) = await AtServerAsync(_server.Exports.ListAsync());
        if (status != 0)
        {
            _replies.Error(option, OptionReply.ErrorPolicy, Errno.Describe(status));
            return;
        }

        foreach (var name in names) _replies.Server(option, name);
        _replies.Ack(option);
    }

    private void Structured(NbdOption option, byte[] data)
    {
        if (data.Length != 0)
        {
            _replies.Error(option, OptionReply.ErrorInvalid, "STRUCTURED_REPLY has no data");
            return;
        }

        _structured = true;
        _replies.Ack(option);
    }

    private void MetaContexts(NbdOption option, byte[] data)
    {
        bool set = option == NbdOption.SetMetaContext;
        if (set) (_allocation, _contextExport) = (false, null);
        var reader = new OptionReader(data);
        var name = reader.String();
        uint queries = reader.UInt32();
        // Without queries LIST means all contexts, SET none.
        bool matches = !set && queries == 0;
        for (uint i = 0; i < queries && reader.IsSound; i++)
        {
            var query = reader.String();
            matches |= query.SequenceEqual("base:allocation"u8) || (!set && query.SequenceEqual("base:"u8));
        }

        if (!_structured || !reader.IsAtEnd)
        {
            _replies.Error(option, OptionReply.ErrorInvalid, _structured ? "malformed" : "structured replies come first");
            return;
        }

        byte[] chosen = NameOrDefault(name.ToArray());
        if (!ExportName.TryParse(chosen, out _))
        {
            _replies.Error(option, OptionReply.ErrorUnknown, "no such volume or snapshot");
            return;
        }

        if (matches) _replies.MetaContext(option, set ? NbdProtocol.BaseAllocationId : 0);
        if (set && matches) (_allocation, _contextExport) = (true, System.Text.Encoding.ASCII.GetString(chosen));
        _replies.Ack(option);
    }

    private TransmissionFlags Flags(bool readOnly) =>
        TransmissionFlags.HasFlags | TransmissionFlags.SendFlush | TransmissionFlags.SendFua | TransmissionFlags.SendTrim
        | TransmissionFlags.SendWriteZeroes | TransmissionFlags.CanMultiConn | TransmissionFlags.SendCache
        | (readOnly ? TransmissionFlags.ReadOnly : 0) | (_structured ? TransmissionFlags.SendDontFragment : 0);

    private byte[] NameOrDefault(byte[] name) => name.Length > 0 ? name : System.Text.Encoding.UTF8.GetBytes(_server.Options.DefaultExport);

    private void Use(in ExportAnswer answer) => _export = answer.Export;

    private Task<ExportAnswer> AcquireAsync(byte[] name) => AtServerAsync(_server.Exports.AcquireAsync(name));

    private Task<ExportAnswer> AskAsync(byte[] name) => AtServerAsync(_server.Exports.AskAsync(name));

    /// <summary>Waits for our own side: that is not the client's time.</summary>
    private async Task<T> AtServerAsync<T>(Task<T> work)
    {
        if (work.IsCompleted) return await work;
        _server.Reactor.Cancel(_timeout);
        long left = _timesOut - _server.Reactor.Now;
        var result = await work;
        SetTimeout(left);
        return result;
    }

    private bool Refused(string reason)
    {
        CutGarbage(reason);
        return false;
    }

    /// <summary>Has <paramref name="count"/> bytes in the buffer; false if the client is gone or cut.</summary>
    private async ValueTask<bool> FillAsync(int count)
    {
        while (Buffered < count)
        {
            if (_cut) return false;
            int received = ReceiveMore();
            if (received == 0) return false;
            if (received < 0 && !await ReadyAsync(IoEvents.Read)) return false;
        }

        return true;
    }

    private async Task<bool> SkipAsync(uint count)
    {
        while (count > 0)
        {
            if (!await FillAsync(1)) return false;
            int part = (int)Math.Min(count, (uint)Buffered);
            _start += part;
            count -= (uint)part;
        }

        return true;
    }

    private async ValueTask<bool> ReplyAsync()
    {
        var rest = _replies.Written;
        while (rest.Length > 0)
        {
            if (_cut) return false;
            int sent = SendSome(rest.Span);
            if (sent == 0) return false;
            if (sent > 0) rest = rest[sent..];
            else if (!await ReadyAsync(IoEvents.Write)) return false;
        }

        _replies.Clear();
        return true;
    }

    private async ValueTask<bool> ReadyAsync(IoEvents events)
    {
        Watch(events);
        if (_watch == null) return false;
        _awaitsReady = true;
        return await _ready.Task;
    }

    /// <summary>Bytes received; 0 at the end, −1 if there is nothing yet.</summary>
    private unsafe int ReceiveMore()
    {
        Compact();
        nint received = Libc.recv(_socket, _buffer + _end, (nuint)(BufferSize - _end), Libc.MSG_DONTWAIT);
        if (received < 0) return Libc.LastError is Errno.EAGAIN or Errno.EINTR ? -1 : 0;
        _end += (int)received;
        return (int)received;
    }

    /// <summary>Bytes sent; 0 if the client is gone, −1 if it takes nothing now.</summary>
    private unsafe int SendSome(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* at = bytes)
        {
            nint sent = Libc.send(_socket, at, (nuint)bytes.Length, Libc.MSG_DONTWAIT | Libc.MSG_NOSIGNAL);
            return sent >= 0 ? (int)sent : Libc.LastError is Errno.EAGAIN or Errno.EINTR ? -1 : 0;
        }
    }

    private uint TakeUInt32() => BinaryPrimitives.ReadUInt32BigEndian(TakeBytes(4));

    private unsafe byte[] TakeBytes(int count)
    {
        var bytes = new ReadOnlySpan<byte>(_buffer + _start, count).ToArray();
        _start += count;
        return bytes;
    }
}
