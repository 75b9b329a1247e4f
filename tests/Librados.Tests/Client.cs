using System.Runtime.InteropServices;
using System.Text;
using Archipelago.Radosd.Librados;
using Xunit;

namespace Archipelago.Librados.Tests;

/// <summary>A connected client with one queue, whose consumer is the test's thread.</summary>
public sealed unsafe class Client : IDisposable
{
    /// <summary>Far beyond anything healthy: reaching it is a failure, never a result.</summary>
    private static readonly TimeSpan Forever = TimeSpan.FromSeconds(60);

    private readonly SemaphoreSlim _woken = new(0);
    private readonly byte* _memory;

    public const int MemorySize = 1 << 20;

    public Client(DevCluster cluster, int operations = 64, long bytes = 64 << 20, string ns = "")
    {
        Cluster = Connect(cluster);
        Queue = Cluster.CreateQueue(operations, bytes, () => _woken.Release());
        Pool = Cluster.OpenPool(DevCluster.Pool, Queue, ns);
        _memory = (byte*)NativeMemory.Alloc(MemorySize);
    }

    public RadosCluster Cluster { get; }

    public CompletionQueue Queue { get; }

    public RadosPool Pool { get; }

    public int Wakes { get; private set; }

    public byte* Memory => _memory;

    public static RadosCluster Connect(DevCluster cluster)
    {
        var rados = RadosCluster.Create("admin");
        rados.ReadConfigFile(cluster.ConfigFile);
        rados.Connect(TimeSpan.FromSeconds(20));
        return rados;
    }

    public static byte[] Name(string name) => Encoding.UTF8.GetBytes(name);

    public static byte[] Bytes(int count, int seed)
    {
        var bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    /// <summary>The next result; sleeps until there is one as a reactor does.</summary>
    public RadosResult Take()
    {
        while (true)
        {
            if (Queue.TryTake(out RadosResult result))
                return result;
            if (!Queue.TryPark())
                continue;
            Assert.True(_woken.Wait(Forever), "no result and no wake within 60 s");
            Wakes++;
            Queue.Unpark();
        }
    }

    /// <summary>The result of an operation that was just submitted alone.</summary>
    public RadosResult Await(int submitted)
    {
        Assert.Equal(0, submitted);
        Assert.Equal(1, Queue.InFlight);
        RadosResult result = Take();
        Assert.Equal(0, Queue.InFlight);
        Assert.Equal(0, Queue.BytesInFlight);
        return result;
    }

    public int Write(string name, byte[] data, ulong offset = 0) => Await(Pool.Write(Name(name), data, offset, null)).Errno;

    public byte[] Read(string name, int length, ulong offset = 0)
    {
        RadosResult result = ReadRaw(name, length, offset);
        Assert.Equal(0, result.Errno);
        return new ReadOnlySpan<byte>(_memory, result.Length).ToArray();
    }

    public RadosResult ReadRaw(string name, int length, ulong offset = 0)
        => Await(Pool.Read(Name(name), _memory, length, offset, null));

    public RadosResult Stat(string name) => Await(Pool.Stat(Name(name), null));

    public void Dispose()
    {
        Cluster.Dispose();
        NativeMemory.Free(_memory);
        _woken.Dispose();
    }
}
