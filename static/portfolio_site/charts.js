/* Draws every figure.chart from the JSON inside it, in the colours of the theme, and again when these change. */
"use strict";

{
    const probe = document.createElement("span");
    probe.hidden = true;
    document.body.append(probe);

    const themeColour = (name) => {
        probe.style.color = `var(${name})`;
        return getComputedStyle(probe).color;
    };

    /* A string "--name" anywhere in a figure is the theme's colour of that name. */
    const inTheme = (value) => {
        if (typeof value === "string") {
            return value.startsWith("--") ? themeColour(value) : value;
        }
        if (Array.isArray(value)) {
            return value.map(inTheme);
        }
        if (value && typeof value === "object") {
            return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, inTheme(item)]));
        }
        return value;
    };

    const axis = () => ({
        gridcolor: themeColour("--hairline-color"),
        linecolor: themeColour("--border-color"),
        zerolinecolor: themeColour("--border-color"),
        automargin: true,
    });

    const layoutOf = (own) => {
        const layout = {
            paper_bgcolor: "rgba(0,0,0,0)",
            plot_bgcolor: "rgba(0,0,0,0)",
            font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: themeColour("--body-fg") },
            colorway: [1, 2, 3, 4, 5, 6, 7, 8].map((number) => themeColour(`--chart-${number}`)),
            margin: { l: 8, r: 8, t: 8, b: 8 },
            legend: { orientation: "h", y: -0.15, x: 0 },
            hovermode: "x unified",
            hoverlabel: { bgcolor: themeColour("--body-bg"), font: { color: themeColour("--body-fg") } },
            separators: document.documentElement.lang === "de" ? ",." : ".,",
            ...own,
        };
        for (const name of ["xaxis", "yaxis", ...Object.keys(own).filter((key) => /^[xy]axis\d+$/.test(key))]) {
            layout[name] = { ...axis(), ...own[name] };
        }
        return layout;
    };

    const draw = (chart) => {
        const figure = inTheme(JSON.parse(chart.querySelector('script[type="application/json"]').textContent));
        const place = chart.querySelector(".chart-plot");
        place.style.minHeight = `${figure.layout.height}px`;
        Plotly.react(place, figure.traces, layoutOf(figure.layout), {
            responsive: true,
            displaylogo: false,
            displayModeBar: false,
        });
    };

    const charts = [...document.querySelectorAll("figure.chart:has(script)")];
    const drawn = new Set();
    const drawOnce = (chart) => {
        drawn.add(chart);
        draw(chart);
    };
    /* What is far below the fold waits until it comes near. */
    const watcher = new IntersectionObserver(
        (entries) => {
            for (const entry of entries.filter((each) => each.isIntersecting)) {
                watcher.unobserve(entry.target);
                drawOnce(entry.target);
            }
        },
        { rootMargin: "600px" },
    );
    charts.forEach((chart) => watcher.observe(chart));
    const again = () => drawn.forEach(draw);
    new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    window.addEventListener("beforeprint", () => charts.forEach((chart) => drawn.has(chart) || drawOnce(chart)));
}
