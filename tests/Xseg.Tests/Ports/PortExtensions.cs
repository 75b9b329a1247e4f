using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Xunit;

namespace Archipelago.Xseg.Tests.Ports;

/// <summary>What tests do often.</summary>
internal static class PortExtensions
{
    internal static Request Ping(this Port client, int server)
    {
        var request = client.New(XsegOp.Ping, 0, 0);
        Assert.True(client.TrySubmit(request, server));
        return request;
    }

    internal static Request New(this Port client, XsegOp op, ulong offset, ulong length, uint flow = 1)
    {
        Assert.True(client.TryAllocate(out var request));
        client.Prepare(request, op, flow, "t"u8, Hash128.Of("t"u8), offset, length);
        return request;
    }
}
