using System.Diagnostics;
using System.Runtime.InteropServices;
using Archipelago.Bench;
using Archipelago.Experiments.Measure;

namespace Archipelago.Experiments.Experiments;

/// <summary>
/// A second yardstick for copying out: private memory as the plain loop's, but the 4 KiB pages of a block lie anywhere in it, as a
/// cache's do after random writes. What this loop loses against the plain one is the memory's (address translation, the
/// processor's prefetch ends with each page), not the transport's.
/// </summary>
internal static unsafe class ScatteredCopy
{
    private const int BlockPages = 16, Copies = 16, PageBytes = 4096;

    internal static Figures Run(int blocks, TimeSpan length)
    {
        Figures figures = [];
        var thread = new Thread(() =>
        {
            ThreadCpu.Pin(Settings.ClientCore);
            double cpu = ThreadCpu.Process.TotalSeconds;
            var (requests, seconds) = Copy(blocks, length);
            figures["rate"] = requests / seconds;
            figures["bytesPerSecond"] = requests * (double)(BlockPages * PageBytes) / seconds;
            figures["cpuBench"] = (ThreadCpu.Process.TotalSeconds - cpu) * 1e6 / requests;
        });
        thread.Start();
        thread.Join();
        return figures;
    }

    private static (long Requests, double Seconds) Copy(int blocks, TimeSpan length)
    {
        int[] pages = [.. Enumerable.Range(0, blocks * BlockPages)];
        new Random(1).Shuffle(pages);
        byte* from = (byte*)NativeMemory.AlignedAlloc((nuint)pages.Length * PageBytes, PageBytes);
        byte* to = (byte*)NativeMemory.AlignedAlloc(Copies * BlockPages * PageBytes, PageBytes);
        NativeMemory.Fill(from, (nuint)pages.Length * PageBytes, 0x5A);
        NativeMemory.Fill(to, Copies * BlockPages * PageBytes, 0xA5);
        long start = Stopwatch.GetTimestamp(), requests = 0;
        while (Stopwatch.GetElapsedTime(start) < length)
            for (int i = 0; i < 1024; i++) CopyBlock(from, to + (requests % Copies * BlockPages * PageBytes), pages.AsSpan((int)(requests++ % blocks) * BlockPages, BlockPages));
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        NativeMemory.AlignedFree(from);
        NativeMemory.AlignedFree(to);
        return (requests, seconds);
    }

    private static void CopyBlock(byte* from, byte* to, ReadOnlySpan<int> pages)
    {
        for (int i = 0; i < pages.Length; i++) Buffer.MemoryCopy(from + ((long)pages[i] * PageBytes), to + (i * PageBytes), PageBytes, PageBytes);
    }
}
