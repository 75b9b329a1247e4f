using Archipelago.Librados.Tests;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Tables;

namespace Archipelago.Radosd.Tests;

/// <summary>A directory with a segment and a state file, and options that lead to a cluster and a namespace of its own.</summary>
public sealed class Place : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("archipelago-radosd-").FullName;

    public Place(DevCluster cluster)
    {
        using (var segment = Segment.Create(SegmentPath, new SegmentOptions { Pages = 8192, SlotsPerPort = 1024, Flows = 64, Objects = 64 }))
        {
            for (int flow = 1; flow <= 3; flow++) FlowTable.FindOrAdd(segment, XsegClient.Name($"volume{flow}"));
        }

        Options = new RadosdOptions
        {
            CephConf = cluster.ConfigFile,
            Pool = DevCluster.Pool,
            Namespace = Guid.NewGuid().ToString("N"),
            State = StatePath,
        };
    }

    public string SegmentPath => Path.Combine(_root, "segment");

    public string StatePath => Path.Combine(_root, "state", "radosd");

    public RadosdOptions Options { get; set; }

    public static byte[] Random(int count, int seed)
    {
        var bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);
}
