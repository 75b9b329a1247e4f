using System.Runtime.InteropServices;

namespace Archipelago.Bench;

/// <summary>The yardstick: copies private memory block by block, in the order of the run, as a reader of lent pages would.</summary>
internal static unsafe class CopyLoop
{
    internal static Transfers? Run(BenchOptions options, BenchRun run)
    {
        long bytes = options.Objects * options.ObjectSize;
        byte* from = (byte*)NativeMemory.AlignedAlloc((nuint)bytes, 4096);
        byte* to = (byte*)NativeMemory.AlignedAlloc((nuint)(options.BlockSize * (long)options.Depth), 4096);
        NativeMemory.Fill(from, (nuint)bytes, 0x5A);
        NativeMemory.Fill(to, (nuint)(options.BlockSize * (long)options.Depth), 0xA5);
        var source = new BlockSource(options with { Verify = BenchVerify.None, Op = BenchOp.Read }, bytes / options.BlockSize);
        run.Start();
        while (!run.CheckTime())
        {
            for (int i = 0; i < 64 && run.MayIssue; i++)
            {
                source.TryNext(out var op);
                long started = run.Issue();
                CopyPages(from + (op.Block * options.BlockSize), to + (i % options.Depth * (long)options.BlockSize), options.BlockSize);
                run.Complete(started);
            }
        }

        NativeMemory.AlignedFree(from);
        NativeMemory.AlignedFree(to);
        return null;
    }

    /// <summary>Page by page: a reader of lent pages has no longer runs either.</summary>
    private static void CopyPages(byte* from, byte* to, int bytes)
    {
        for (int at = 0; at < bytes; at += 4096)
            Buffer.MemoryCopy(from + at, to + at, Math.Min(4096, bytes - at), Math.Min(4096, bytes - at));
    }
}
