using System.Text;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Experiments.Roles;

/// <summary>A client within the serving process that makes volumes.</summary>
internal sealed class VolumeMaker : Peer
{
    public override ValueTask<int> HandleAsync(Request request) => new(XsegErrno.ENOTSUP);

    /// <summary>Makes a volume; 0 or a positive errno.</summary>
    internal async Task<int> CreateAsync(string volume, long bytes)
    {
        byte[] name = Encoding.UTF8.GetBytes(volume);
        var request = await Context.AllocateAsync();
        Context.Port.Prepare(request, XsegOp.Create, 0, name, Hash128.Of(name), 0, (ulong)bytes);
        int status = await Context.OpenRoute("volumes").SubmitAsync(request);
        Context.Free(request);
        return status;
    }
}
