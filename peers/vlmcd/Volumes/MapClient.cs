using System.Buffers.Binary;
using System.Text;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>What mapperd answers to OPEN, and to whatever changes a volume.</summary>
/// <param name="Size">Bytes.</param>
/// <param name="ObjectSize">Bytes of an object.</param>
/// <param name="Flow">Flow of its data (OPEN only).</param>
/// <param name="Layer">The own layer, 0 for none.</param>
internal readonly record struct OpenAnswer(ulong Size, int ObjectSize, uint Flow, ulong Layer);

/// <summary>Asks mapperd. A refusal is an <see cref="ErrnoException"/> with mapperd's own words.</summary>
internal sealed class MapClient(ObjectIo maps)
{
    internal int InFlight => maps.InFlight;

    /// <summary>Runs one op of control.</summary>
    /// <exception cref="ErrnoException">Refused.</exception>
    internal async ValueTask<OpenAnswer> RunAsync(
        XsegOp op, VolumeName name, UInt128 identity, string? source = null, ulong offset = 0, ulong length = 0, RequestFlags flags = RequestFlags.None, Memory<byte> result = default)
    {
        if (result.IsEmpty) result = new byte[64];
        var (status, serviced) = await maps.RunAsync(
            op, maps.Flow, Encoding.ASCII.GetBytes(name.ToString()), offset, length, flags, source == null ? default : Encoding.ASCII.GetBytes(source), result, identity);
        return status == 0 ? AnswerOf(serviced, result.Span) : throw new ErrnoException(status, await WhyAsync(op, name, identity, status));
    }

    /// <summary>Passes a request on with the data that it brings.</summary>
    /// <exception cref="ErrnoException">Refused.</exception>
    internal async ValueTask<OpenAnswer> PassAsync(Xseg.Ports.Request request, VolumeName name, UInt128 identity)
    {
        var (op, result) = (request.Op, new byte[64]);
        var (status, serviced) = await maps.PassAsync(request, Encoding.ASCII.GetBytes(name.ToString()), result, identity);
        return status == 0 ? AnswerOf(serviced, result) : throw new ErrnoException(status, await WhyAsync(op, name, identity, status));
    }

    private static OpenAnswer AnswerOf(ulong serviced, ReadOnlySpan<byte> result) => new(
        serviced, (int)BinaryPrimitives.ReadUInt64LittleEndian(result), BinaryPrimitives.ReadUInt32LittleEndian(result[8..]), BinaryPrimitives.ReadUInt64LittleEndian(result[16..]));

    private async ValueTask<string> WhyAsync(XsegOp op, VolumeName name, UInt128 identity, int errno)
    {
        var text = new byte[4096];
        var (status, _) = await maps.ReadAsync(Refusals.TargetOf(identity), 0, text);
        int end = status == 0 ? Array.IndexOf(text, (byte)0) : 0;
        return end > 0 ? Encoding.UTF8.GetString(text, 0, end) : $"volume {name}: {op}: {Errno.Describe(errno)}";
    }
}
