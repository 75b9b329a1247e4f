using Archipelago.Mapperd;
using Archipelago.Memd;
using Archipelago.Simulation;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests.Simulated;

/// <summary>Two hosts with caches, and names that go from one volume to another meanwhile.</summary>
public sealed class SwappedNamesTests
{
    /// <summary>The epochs of two locks tell nothing of each other, and may follow each other by chance.</summary>
    [Fact]
    public void A_name_that_another_volume_had_meanwhile_shows_nothing_stale()
    {
        for (int times = 0; times < 8; times++)
        {
            using var world = new TwoHosts();
            world.Do(world.Here, XsegOp.Create, "disk", 1 << 16);
            for (int i = 0; i < 6; i++) world.Use(world.Here, "disk", write: 1);

            world.Do(world.There, XsegOp.Rename, "disk", source: "aside");
            world.Do(world.There, XsegOp.Create, "disk", 1 << 16);
            for (int i = 0; i < 5; i++) world.Use(world.There, "disk", write: 7);
            for (int i = 0; i < times; i++) world.Use(world.Here, "disk", write: 8);
            world.Do(world.There, XsegOp.Rename, "disk", source: "other");
            world.Do(world.There, XsegOp.Rename, "aside", source: "disk");
            world.Use(world.There, "disk", write: 2);

            Assert.Equal(2, world.Use(world.Here, "disk"));
        }
    }

    private sealed class TwoHosts : IDisposable
    {
        private readonly SimWorld _world = new(1) { Patience = 10_000_000 };
        private readonly MemdPeer _store = new(new MemdOptions());

        internal TwoHosts()
        {
            var plan = new HostPlan(new MapperdOptions { ObjectSize = 4096, Owner = "test" }, FanOut: 4, HasCache: true);
            (Here, There) = (new SimHost(_world, plan, _store), new SimHost(_world, plan, _store));
        }

        internal SimHost Here { get; }
        internal SimHost There { get; }

        internal void Do(SimHost host, XsegOp op, string name, ulong length = 0, string? source = null) =>
            Assert.Equal(0, Run(host, () => host.Client.Do("volumes", op, name, 0, 0, length, source: source)).Status);

        /// <summary>Opens a volume, writes its first object if asked to, reads it, and closes it; what it read.</summary>
        internal byte Use(SimHost host, string name, byte write = 0)
        {
            var opened = Run(host, () => host.Client.Do("volumes", XsegOp.Open, name));
            Assert.Equal(0, opened.Status);
            if (write != 0)
            {
                byte[] data = new byte[4096];
                data.AsSpan().Fill(write);
                Assert.Equal(0, Run(host, () => host.Client.Write("volumes", name, opened.Flow, 0, data)).Status);
            }

            var read = Run(host, () => host.Client.Read("volumes", name, opened.Flow, 0, 4096));
            Assert.Equal(0, read.Status);
            Assert.Equal(0, Run(host, () => host.Client.Do("volumes", XsegOp.Close, name, opened.Flow)).Status);
            return read.Data[4095];
        }

        public void Dispose()
        {
            Here.Dispose();
            There.Dispose();
            _store.Dispose();
        }

        private T Run<T>(SimHost host, Func<Task<T>> work)
        {
            var task = host.OnClient(work);
            _world.RunUntil(() => task.IsCompleted, "request");
            return task.GetAwaiter().GetResult();
        }
    }
}
